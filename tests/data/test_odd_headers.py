"""One reader decides: what the checks accept is loaded with the right values; both refuse the rest in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.transforms import LoadImage

from custom_components.checks.volumes import check_images
from custom_components.data import VolumeReader, read_volume
from custom_components.data.nifti import read_header
from custom_components.faults import Fault

from .conftest import AFFINE, SHAPE

Write = Callable[..., str]
Edit = Callable[[Any], None]


def load(path: str) -> Any:
    return LoadImage(VolumeReader(), ensure_channel_first=True)(path)


def pixdim(*lengths: float) -> Edit:
    def edit(header: Any) -> None:
        header["pixdim"][1:4] = lengths

    return edit


def fields(**changed: Any) -> Edit:
    def edit(header: Any) -> None:
        for name, value in changed.items():
            header[name] = value

    return edit


def no_forms(header: Any) -> None:
    header["sform_code"] = header["qform_code"] = 0


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_both_versions_of_nifti_are_read(write: Write, values: np.ndarray, kind: type, name: str) -> None:
    image = load(write(name, values, kind=kind))
    assert image.shape == (1, *SHAPE)
    assert np.array_equal(image[0].numpy(), values)
    assert np.allclose(image.affine, AFFINE)
    assert image.meta["spatial_shape"].tolist() == list(SHAPE)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((12, 10, 8, 1), (1, 12, 10, 8)),
        ((12, 10, 8, 1, 1), (1, 12, 10, 8)),
        ((12, 10, 8, 3), (3, 12, 10, 8)),
        ((12, 10, 8, 3, 1, 1), (3, 12, 10, 8)),
        ((12, 10, 8, 1, 3), (3, 12, 10, 8)),  # how ITK writes channels
        ((12, 10, 1), (1, 12, 10, 1)),
        ((12, 10, 1, 1), (1, 12, 10, 1)),
    ],
)
def test_single_axes_after_the_third_are_left_out(
    write: Write, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    path = write("a.nii.gz", values)
    check_images([{"image": path}], expected[0], progress=False)
    found = load(path)
    assert found.shape == expected
    assert np.array_equal(np.moveaxis(found.numpy(), 0, -1).reshape(shape), values)


@pytest.mark.parametrize(
    ("code", "factor"), [(0, 1.0), (2, 1.0), (1, 1000.0), (3, 0.001), (2 + 8, 1.0), (1 + 16, 1000.0)]
)
def test_metre_and_micron_become_mm(write: Write, values: np.ndarray, code: int, factor: float) -> None:
    stored = AFFINE.copy()
    stored[:3] /= factor
    path = write("a.nii", values, stored, fields(xyzt_units=code))
    assert np.allclose(read_volume(path)[1], AFFINE)
    assert np.allclose(load(path).affine, AFFINE)
    assert np.allclose(read_header(path).spacing, (2, 2.5, 3))


def test_without_qform_and_sform_the_spacing_counts(write: Write, values: np.ndarray) -> None:
    image = load(write("a.nii", values, edit=no_forms))
    assert np.allclose(np.abs(np.diag(image.affine)[:3]), (2, 2.5, 3))


def test_a_template_sform_that_stretches_gives_way_to_the_qform(write: Write, values: np.ndarray) -> None:
    def edit(header: Any, code: int = 4) -> None:
        header.set_qform(AFFINE, 1)
        header.set_sform(np.diag([2.4, 3.0, 3.6, 1.0]), code)

    assert np.allclose(load(write("a.nii", values, edit=edit)).affine, AFFINE, atol=1e-5)
    with pytest.raises(
        Fault, match=r"b.nii contradicts itself: .* 2.4 x 3 x 3.6, its pixdim 2 x 2.5 x 3; they must"
    ):
        read_header(write("b.nii", values, edit=lambda header: edit(header, 2)))


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
REFUSED = {
    "spacing 0": (
        SHAPE,
        "i2",
        pixdim(2, 2.5, 0),
        r"spacing \(pixdim\) of 2 x 2.5 x 0; allowed: three lengths above 0",
    ),
    "spacing NaN": (SHAPE, "i2", pixdim(np.nan, 2.5, 3), "of nan x 2.5 x 3"),
    "spacing infinite": (SHAPE, "i2", pixdim(np.inf, 2.5, 3), "of inf x 2.5 x 3"),
    "spacing contradicts": (SHAPE, "i2", pixdim(4, 2.5, 3), "its pixdim 4 x 2.5 x 3; they must agree"),
    "metre by mistake": (
        SHAPE,
        "i2",
        fields(xyzt_units=1),
        r"2000 x 2500 x 3000 mm \(xyzt_units: metre\); allowed",
    ),
    "micron by mistake": (
        SHAPE,
        "i2",
        fields(xyzt_units=3),
        r"0.002 x .* mm \(xyzt_units: micron\); allowed: 0.01",
    ),
    "unknown unit": (SHAPE, "i2", fields(xyzt_units=5), "xyzt_units 5"),
    "sform NaN": (SHAPE, "i2", fields(srow_x=[np.nan, 0, 0, 0]), "affine with values that are not finite"),
    "sform singular": (SHAPE, "i2", fields(srow_y=[0, 0, 0, 0]), "contradicts itself"),
    "sform in a plane": (SHAPE, "i2", fields(srow_x=[2, 2.5, 0, 0], srow_y=[0, 0, 0, 0]), "cannot be inverted"),
    "sform far away": (SHAPE, "i2", fields(srow_x=[2, 0, 0, 1e20]), "from the origin"),
    "too short for its shape": (SHAPE, "i2", fields(dim=[3, 12, 10, 9, 1, 1, 1, 1]), "truncated or corrupt"),
    "too long for its shape": (
        SHAPE,
        "i2",
        fields(dim=[3, 12, 10, 7, 1, 1, 1, 1]),
        "does not fit its header: 2272",
    ),
    "too long for its type": (SHAPE, "i2", fields(datatype=2, bitpix=8), "does not fit its header"),
    "unknown type": (SHAPE, "i2", fields(datatype=77), "not readable as NIfTI .*77"),
    "RGB": (SHAPE, RGB, None, r"holds colours \(RGB\); allowed: one real number per voxel"),
    "complex": (SHAPE, "c8", None, "holds complex numbers; allowed: one real number per voxel"),
    "2D": ((12, 10), "i2", None, r"shape \(12, 10\); allowed: 3D"),
    "5D": ((6, 5, 4, 2, 3), "i2", None, r"shape \(6, 5, 4, 2, 3\); allowed: 3D"),
    "no voxel": (SHAPE, "i2", fields(dim=[3, 12, 0, 8, 1, 1, 1, 1]), r"shape \(12, 0, 8\)"),
}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("fault", REFUSED)
def test_a_bad_header_is_refused_alike_by_checks_and_loader(write: Write, fault: str, name: str) -> None:
    shape, dtype, edit, message = REFUSED[fault]
    path = write(name, np.zeros(shape, dtype), edit=edit)
    with pytest.raises(Fault, match=message) as found:
        check_images([{"image": path}], 1, progress=False)
    assert path in str(found.value)
    with pytest.raises(Fault) as again:
        load(path)
    assert str(again.value) == str(found.value)
    assert "\n" not in str(found.value)


def test_a_length_that_agrees_with_gzips_four_bytes_only_is_refused(write: Write, values: np.ndarray) -> None:
    path = write("a.nii.gz", values, edit=fields(dim=[3, 12 + 2**40, 10, 8, 1, 1, 1, 1]), kind=nib.Nifti2Image)
    with pytest.raises(Fault, match=r"a.nii.gz is truncated or corrupt \(2464 bytes, its header asks for 1759"):
        read_header(path)


HEADER_BYTES = st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=HEADER_BYTES)
def test_checks_and_loader_agree_on_every_header(
    write: Write, values: np.ndarray, changes: list[tuple[int, int]]
) -> None:
    path = write("a.nii", values)
    with open(path, "r+b") as file:
        for place, byte in changes:
            file.seek(place)
            file.write(bytes([byte]))
    checked = loaded = None  # any exception but a fault is a defect and fails the test
    try:
        header = read_header(path)
    except Fault as error:
        checked = str(error)
    try:
        image = load(path)
    except Fault as error:
        loaded = str(error)
    if checked is not None:
        assert loaded == checked
    elif loaded is not None:
        assert "not finite" in loaded  # by the header's scaling; only reading the voxels shows it
    else:
        assert image.shape == (header.channels, *header.spatial_shape)
        assert np.array_equal(image.affine, header.affine)
