"""Reading images and label maps: damage, values that are not finite, orders of axes, whole numbers."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, LoadImage, LoadImaged, Spacingd

from custom_components.checks.volumes import check_images, check_labels, distinct_values
from custom_components.data import AlignLabeld, LabelReader, VolumeReader, read_label, read_volume
from custom_components.faults import Fault, fault_in

from .conftest import AFFINE, SHAPE

Write = Callable[..., str]


def reoriented(values: np.ndarray, affine: np.ndarray, axcodes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places, stored along other axes."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(axcodes)
    )
    moved = affine @ nib.orientations.inv_ornt_aff(turn, values.shape)
    return np.ascontiguousarray(nib.apply_orientation(values, turn)), moved


def flip_byte(path: str, place: float) -> None:
    data = bytearray(Path(path).read_bytes())
    data[int(len(data) * place)] ^= 0x10
    Path(path).write_bytes(bytes(data))


def test_a_flipped_byte_in_the_compressed_voxels_is_never_loaded(write: Write) -> None:
    noise = np.random.RandomState(0).randint(0, 900, (20, 20, 20)).astype(np.int16)
    for place in np.linspace(0.02, 0.999, 40):
        path = write("a.nii.gz", noise)
        flip_byte(path, place)
        with pytest.raises(Fault, match=f"{path} is (truncated or corrupt|not readable|not gzip|contradicts)"):
            LoadImage(VolumeReader())(path)


def test_damage_in_the_second_gzip_member_is_found(write: Write, values: np.ndarray) -> None:
    path, plain = Path(write("a.nii.gz", values)), Path(write("a.nii", values)).read_bytes()
    path.write_bytes(gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]))
    assert np.array_equal(read_volume(path)[0][0], values)
    flip_byte(str(path), 0.999 - 5 / path.stat().st_size)  # in the last checksum
    with pytest.raises(Fault, match="truncated or corrupt"):
        read_volume(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_value_that_is_not_finite_names_file_count_and_place(write: Write, bad: float, name: str) -> None:
    image = np.random.RandomState(0).normal(size=(*SHAPE, 2)).astype(np.float32)
    image[3, 4, 5, 1] = image[7, 8, 7, 1] = bad
    path = write(name, image)
    with pytest.raises(
        Fault, match=rf"{path} holds 2 of 960 values .*, the first at voxel \(3, 4, 5\) of channel 1; correct"
    ):
        read_volume(path)
    before, expected = Path(path).read_bytes(), image.copy()
    expected[3, 4, 5, 1] = expected[7, 8, 7, 1] = np.sort(image[..., 1][np.isfinite(image[..., 1])])[0]
    assert np.array_equal(np.moveaxis(read_volume(path, "replace")[0], 0, -1), expected)
    assert Path(path).read_bytes() == before


def test_values_beyond_float32_and_volumes_without_a_value_are_refused(write: Write) -> None:
    large = np.zeros(SHAPE)
    large[0, 0, 1] = 1e300
    with pytest.raises(Fault, match=r"holds 1 of 960 values .* voxel \(0, 0, 1\)"):
        read_volume(write("a.nii", large))
    with pytest.raises(Fault, match="holds 960 of 960 values .*; there is no finite value"):
        read_volume(write("b.nii", np.full(SHAPE, np.nan, np.float32)), "replace")
    with pytest.raises(Fault, match="non_finite is 'keep'; allowed: raise, replace"):
        VolumeReader("keep")


def test_scaling_and_byte_order_are_those_of_the_header(write: Write, values: np.ndarray) -> None:
    def edit(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = 2.0, -1000.0

    assert np.array_equal(read_volume(write("a.nii.gz", values, edit=edit))[0][0], values * 2.0 - 1000)
    big = nib.Nifti1Image(values.astype(">f4"), AFFINE, nib.Nifti1Header(endianness=">"))
    path = write("b.nii", values)
    Path(path).write_bytes(big.to_bytes())
    assert np.array_equal(LoadImage(VolumeReader())(path)[0], values)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_in_a_cache_or_a_worker_keeps_its_line(write: Write, values: np.ndarray, workers: int) -> None:
    bad = values.astype(np.float32)
    bad[0, 0, 0] = np.nan
    items = [{"image": write("a.nii", values)}, {"image": write("b.nii", bad)}]
    load = LoadImaged("image", VolumeReader())
    with pytest.raises(Exception) as cached:
        CacheDataset(items, load, num_workers=2, progress=False)
    with pytest.raises(Exception) as loaded:
        list(DataLoader(CacheDataset(items, load, cache_num=1, progress=False), num_workers=workers))
    for error in (cached.value, loaded.value):
        assert str(fault_in(error)).startswith(f"{items[1]['image']} holds 1 of 960 values that are not finite")


def test_files_of_one_case_may_differ_by_rounding_and_by_the_order_of_axes(
    write: Write, values: np.ndarray
) -> None:
    near, turned = AFFINE.copy(), reoriented(values + 2, AFFINE, "PSL")
    near[:3, 3] += 5e-3
    paths = [write("a.nii", values), write("b.nii", values + 1, near), write("c.nii.gz", *turned)]
    check_images([{"image": paths}], 3, progress=False)
    image = LoadImage(VolumeReader(), ensure_channel_first=True)(paths)
    for channel in range(3):
        assert np.array_equal(image[channel].numpy(), values + channel)
    assert np.allclose(image.affine, AFFINE)
    far = write("d.nii", values, near + np.diag([0, 0, 0, 0]) + np.eye(4, k=3) * 5)
    for read in (
        lambda: check_images([{"image": [paths[0], far]}], 2, progress=False),
        lambda: read_volume([paths[0], far]),
    ):
        with pytest.raises(Fault, match=f"{far} lies elsewhere in space than {paths[0]}.*allowed 0.01 mm"):
            read()


LOAD = Compose(
    [
        LoadImaged("image", VolumeReader(), ensure_channel_first=True),
        LoadImaged("label", LabelReader(), ensure_channel_first=True),
        AlignLabeld("label"),
    ]
)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAS", "SRA", "IPL", "PIR"])
def test_a_label_stored_along_other_axes_equals_the_clean_one(
    write: Write, values: np.ndarray, axcodes: str
) -> None:
    truth, near = (values % 3).astype(np.uint8), AFFINE.copy()
    near[0, 3] += 1e-3
    item = {"image": write("i.nii.gz", values), "label": write("l.nii.gz", *reoriented(truth, near, axcodes))}
    check_labels([item], range(3), progress=False)
    found = LOAD(item)
    assert np.array_equal(found["label"][0].numpy(), truth)
    assert torch.equal(found["label"].affine, found["image"].affine)
    assert found["label"].meta["spatial_shape"].tolist() == list(SHAPE)
    assert found["label"].meta["filename_or_obj"] == item["label"]
    spaced = Spacingd(["image", "label"], pixdim=(1.0, 1.0, 1.0), mode=["bilinear", "nearest"])(found)
    assert spaced["label"].shape == spaced["image"].shape


def test_a_label_on_another_grid_is_refused_in_one_line(write: Write, values: np.ndarray) -> None:
    truth, moved = (values % 3).astype(np.uint8), AFFINE.copy()
    moved[0, 3] += 2  # one voxel
    image = write("i.nii.gz", values)
    other = [
        (reoriented(truth, moved, "LPS"), "l.nii lies elsewhere in space than .*i.nii.gz.* 2 mm apart"),
        ((truth[:-1], AFFINE), r"l.nii has shape \(11, 10, 8\), .*i.nii.gz has \(12, 10, 8\)"),
        ((truth.transpose(1, 0, 2).copy(), AFFINE), r"l.nii has shape \(10, 12, 8\)"),
    ]
    for (label, affine), message in other:
        item = {"image": image, "label": write("l.nii", label, affine)}
        with pytest.raises(Fault, match=message):
            check_labels([item], range(3), progress=False)
        with pytest.raises(Exception) as found:
            LOAD(item)
        assert "l.nii" in str(fault_in(found.value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_that_are_nearly_whole_are_rounded(write: Write, values: np.ndarray, dtype: type) -> None:
    truth = values % 4
    path = write("l.nii.gz", (truth - np.where(truth, 1e-7, 0) - (truth == 3) * 9e-4).astype(dtype))
    check_labels([{"image": path, "label": path}], range(4), progress=False)
    assert distinct_values(path) == [0, 1, 2, 3]
    loaded = LoadImage(LabelReader(), ensure_channel_first=True)(path)
    assert np.array_equal(loaded[0].numpy().astype(np.uint8), truth)


def test_a_label_that_is_not_whole_shows_the_value_and_its_place(write: Write, values: np.ndarray) -> None:
    label = (values % 3).astype(np.float32)
    label[1, 2, 3] = 1.9987654
    path = write("l.nii", label)
    with pytest.raises(ValueError, match=r"l.nii holds the values 1.998765\d*; allowed: whole numbers 0 to 2"):
        check_labels([{"image": path, "label": path}], range(3), progress=False)
    with pytest.raises(Fault, match=r"l.nii holds the value 1.998765\d* at voxel \(1, 2, 3\), and 0 more"):
        read_label(path)
    label[0, 0, 1] = np.nan
    with pytest.raises(
        Fault, match=r"holds the value nan at voxel \(0, 0, 1\), and 1 more values that are not whole"
    ):
        read_label(write("n.nii", label))


def test_one_label_map_per_case(write: Write, values: np.ndarray) -> None:
    label = write("l.nii", (values % 3).astype(np.uint8))
    with pytest.raises(ValueError, match="l.nii and 1 more label files belong to .*l.nii; allowed: one label map"):
        check_labels([{"image": label, "label": [label, label]}], range(3), progress=False)
    with pytest.raises(Fault, match="m.nii has 2 channels; a label map has 1"):
        read_label(write("m.nii", np.zeros((*SHAPE, 2), np.uint8)))
