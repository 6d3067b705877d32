"""Damage to what files hold: shapes, numbers, types, and label values; each file is a valid NIfTI file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from tests.robustness.damage import Damage, any_file, any_image, any_label, damage, stem
from tests.robustness.dataset import save


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.array(image.dataobj), np.array(image.affine)


@damage("shape")
def single_axes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    axes = int(rng.integers(1, 4))
    save(data / name, voxels.reshape(*voxels.shape, *[1] * axes), affine)
    return Damage(f"{name}: {axes} single axes at the end", (stem(name),), "right" if axes == 1 else "either")


@damage("shape")
def more_volumes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    save(data / name, np.stack([voxels] * int(rng.integers(2, 4)), -1), affine)
    return Damage(f"{name}: several volumes along a fourth axis", (stem(name),), "refused")


@damage("shape")
def fewer_axes(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    voxels = voxels[..., 3] if rng.random() < 0.7 else voxels[:, 3, 3]
    save(data / name, voxels, affine)
    return Damage(f"{name}: {voxels.ndim}D", (stem(name),), "refused")


@damage("shape")
def one_slice(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    voxels, affine = _read(data / name)
    save(data / name, voxels[..., 5:6], affine)
    return Damage(f"{name}: one slice", (stem(name),))


@damage("shape")
def cropped_label(rng: np.random.Generator, data: Path) -> Damage:
    name = any_label(rng)
    voxels, affine = _read(data / name)
    save(data / name, voxels[1:], affine)
    return Damage(f"{name}: one plane less than its image", (stem(name),), "refused")


@damage("shape")
def turned_label(rng: np.random.Generator, data: Path) -> Damage:
    """The same label in space, with flipped and exchanged axes."""
    name = any_label(rng)
    label = nib.load(data / name)
    axes = rng.permutation(3)
    turn = np.stack([axes, rng.choice([-1, 1], 3)], 1)
    turned = label.as_reoriented(turn)
    save(data / name, np.array(turned.dataobj), np.array(turned.affine))
    return Damage(f"{name}: axes {turn.tolist()}", (stem(name),), "right")


@damage("values")
def not_finite(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    voxels = voxels.astype(np.float32)
    value = float(rng.choice([np.nan, np.inf, -np.inf]))
    voxels[tuple(rng.integers(voxels.shape))] = value
    save(data / name, voxels, affine)
    return Damage(f"{name}: one voxel is {value}", (stem(name),), "refused")


@damage("values")
def constant(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    voxels, affine = _read(data / name)
    value = int(rng.choice([0, 0, 7]))
    save(data / name, np.full_like(voxels, value), affine)
    return Damage(f"{name}: all voxels are {value}", (stem(name),), warned=True)


@damage("values")
def other_scale(rng: np.random.Generator, data: Path) -> Damage:
    name = any_image(rng)
    voxels, affine = _read(data / name)
    factor, offset = float(rng.choice([1e-6, 1e4, 1.0])), float(rng.choice([0, -1024, 1024]))
    save(data / name, (voxels * factor + offset).astype(np.float32), affine)
    return Damage(f"{name}: times {factor}, plus {offset}", (stem(name),))


@damage("values")
def other_type(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    kinds = {"float64": np.float64, "int32": np.int32, "uint16": np.uint16, "big-endian float32": np.dtype(">f4")}
    kind = str(rng.choice(list(kinds)))
    save(data / name, voxels.astype(kinds[kind]), affine)
    return Damage(f"{name}: stored as {kind}", (stem(name),), "right")


@damage("values")
def no_number(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    if rng.random() < 0.5:
        save(data / name, voxels.astype(np.complex64) + 1j, affine)
        return Damage(f"{name}: complex", (stem(name),), "refused")
    colours = np.zeros(voxels.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    save(data / name, colours, affine)
    return Damage(f"{name}: RGB", (stem(name),), "refused")


@damage("values")
def nifti2(rng: np.random.Generator, data: Path) -> Damage:
    name = any_file(rng)
    voxels, affine = _read(data / name)
    nib.save(nib.Nifti2Image(voxels, affine), data / name)
    return Damage(f"{name}: NIfTI-2", (stem(name),), "right")


@damage("labels")
def label_value(rng: np.random.Generator, data: Path) -> Damage:
    name = any_label(rng)
    voxels, affine = _read(data / name)
    voxels = voxels.astype(np.float32)
    value = float(rng.choice([3, 255, -1, 0.5, 1.01]))
    voxels[tuple(rng.integers(voxels.shape))] = value
    save(data / name, voxels, affine)
    return Damage(f"{name}: one voxel is {value}", (stem(name),), "refused")


@damage("labels")
def nearly_whole(rng: np.random.Generator, data: Path) -> Damage:
    name = any_label(rng)
    voxels, affine = _read(data / name)
    less = float(rng.choice([1e-7, 1e-4]))
    save(data / name, np.maximum(voxels - np.float32(less) * voxels, 0).astype(np.float32), affine)
    return Damage(f"{name}: values {less:g} below whole numbers", (stem(name),), "right")


@damage("labels")
def empty_label(rng: np.random.Generator, data: Path) -> Damage:
    name = any_label(rng)
    voxels, affine = _read(data / name)
    save(data / name, np.zeros_like(voxels), affine)
    return Damage(f"{name}: no class at all", (stem(name),))


@damage("labels")
def scaled_label(rng: np.random.Generator, data: Path) -> Damage:
    """A label map stored with a scale slope, as some programs write it."""
    name = any_label(rng)
    voxels, affine = _read(data / name)
    image = nib.Nifti1Image(voxels.astype(np.float32), affine)
    image.set_data_dtype(np.int16)  # nibabel then chooses a slope, which does not give whole numbers exactly
    nib.save(image, data / name)
    return Damage(f"{name}: values with a slope", (stem(name),), "right")
