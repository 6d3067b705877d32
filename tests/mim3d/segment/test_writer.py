"""A mask keeps the shape, sform, qform, codes and units of the image that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.faults import Fault
from mim3d.segment.writer import write_channels_like, write_like
from tests.data import conftest as files

AFFINE, SHAPE = files.AFFINE, files.SHAPE
values, write = files.values, files.write  # fixtures
Write = Callable[..., str]
MICRON = np.diag([1000.0, 1000, 1000, 1]) @ AFFINE


def forms(header: Any) -> None:
    header.set_qform(AFFINE, 1)
    header.set_sform(AFFINE @ np.diag([-1, -1, 1, 1.0]), 4)
    header["scl_slope"], header["scl_inter"] = 0.5, 7


def micron(header: Any) -> None:
    header["xyzt_units"] = 3


@pytest.mark.parametrize(
    ("shape", "affine", "edit", "kind"),
    [
        (SHAPE, AFFINE, forms, nib.Nifti1Image),
        ((*SHAPE, 3), AFFINE, forms, nib.Nifti1Image),
        (SHAPE, MICRON, micron, nib.Nifti1Image),
        (SHAPE, AFFINE, forms, nib.Nifti2Image),
        ((12, 10, 1), AFFINE, None, nib.Nifti1Image),
        ((12, 10, 8, 1, 1), AFFINE, None, nib.Nifti1Image),
    ],
)
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_a_mask_lies_exactly_on_its_image(
    write: Write, tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, edit: Any, kind: type, name: str
) -> None:
    path = write("image.nii.gz", np.zeros(shape, np.int16), affine, edit, kind)
    image, mask = nib.load(path), (np.arange(np.prod(shape[:3])).reshape(shape[:3]) % 5).astype(np.int64)
    write_like(mask, path, tmp_path / "out" / name, "a mask")
    found = nib.load(tmp_path / "out" / name)
    assert type(found) is kind
    assert found.shape == shape[:3]
    assert found.get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(found.dataobj), mask)
    assert np.array_equal(found.affine, image.affine)
    for form in ("qform", "sform"):
        (a, code), (b, other) = (getattr(i.header, f"get_{form}")(coded=True) for i in (found, image))
        assert code == other
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b)
    assert np.array_equal(found.header.get_zooms(), image.header.get_zooms()[:3])
    assert found.header["xyzt_units"] == image.header["xyzt_units"]
    assert bytes(found.header["descrip"].item()) == b"a mask"
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_a_mask_holds_no_remarks_of_its_image(write: Write, tmp_path: Path, values: np.ndarray) -> None:
    path = Path(write("image.nii", values))
    image = nib.load(path)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"name of the patient"))
    path.write_bytes(image.to_bytes())
    write_like(np.full(SHAPE, 300), path, tmp_path / "mask.nii")
    assert b"patient" not in (tmp_path / "mask.nii").read_bytes()
    assert np.array_equal(np.asanyarray(nib.load(tmp_path / "mask.nii").dataobj), np.full(SHAPE, 300))


def test_a_mask_that_cannot_be_written_leaves_nothing(write: Write, tmp_path: Path, values: np.ndarray) -> None:
    path, mask = write("image.nii", values), np.zeros(SHAPE, np.uint8)
    with pytest.raises(Fault, match=r"shape \(12, 10, 7\), .*image.nii has \(12, 10, 8\)"):
        write_like(mask[..., 1:], path, tmp_path / "mask.nii")
    with pytest.raises(ValueError, match="holds float64; allowed: whole numbers"):
        write_like(mask.astype(float), path, tmp_path / "mask.nii")
    with pytest.raises(Fault, match="mask.nii cannot be written: File exists"):
        write_like(mask, path, Path(path) / "mask.nii")
    assert [p.name for p in tmp_path.iterdir()] == ["image.nii"]


def test_channels_lie_on_their_image_along_a_fourth_axis(write: Write, tmp_path: Path) -> None:
    path = write("image.nii.gz", np.zeros(SHAPE, np.int16), AFFINE, forms)
    values = np.random.default_rng(0).random((*SHAPE, 3), np.float32)
    write_channels_like(values, path, tmp_path / "p.nii.gz", "three channels")
    found = nib.load(tmp_path / "p.nii.gz")
    assert found.get_data_dtype() == np.float32
    assert np.array_equal(np.asanyarray(found.dataobj), values)
    assert np.array_equal(found.affine, nib.load(path).affine)
    with pytest.raises(Fault, match=r"the image for .*q.nii.gz has shape .* they must agree"):
        write_channels_like(values[1:], path, tmp_path / "q.nii.gz")
