"""What a plan reads of a folder."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.data import DataList
from mim3d.plan.survey import read_case, survey


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return str(path)


def test_shapes_and_spacings_are_in_the_order_right_anterior_superior(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = np.diag([2.0, 3.0, 5.0, 1.0])[[1, 0, 2, 3]] * [-1, 1, 1, 1]  # first axis: anterior, reversed
    save(tmp_path / "a.nii.gz", rng.normal(size=(10, 20, 30)).astype(np.float32), np.diag([1.0, 2.0, 4.0, 1.0]))
    save(tmp_path / "b.nii.gz", rng.normal(size=(10, 20, 30)).astype(np.float32), stored)
    found = survey(DataList(tmp_path), 8, progress=False)
    assert found.shapes.tolist() == [[10, 20, 30], [20, 10, 30]]
    assert found.spacings.tolist() == [[1.0, 2.0, 4.0], [3.0, 2.0, 5.0]]
    assert found.orientations == {"RAS": 1, "PRS": 1}
    assert (found.channels, found.labelled, len(found.read)) == (1, 0, 2)
    assert found.extents.tolist() == [35.0, 30.0, 135.0]


def test_a_case_shows_its_classes_in_mm3_and_the_values_inside_them(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 8), np.int16)
    image[:, :, 4:] = 40
    image[:2] = -1000
    label = np.zeros(image.shape, np.uint8)
    label[4:6, 4:6, 4:6], label[7, 7, 0] = 3, 18
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    item = {
        "image": save(tmp_path / "i.nii.gz", image, affine),
        "label": save(tmp_path / "l.nii.gz", label, affine),
    }
    facts = read_case(item)
    assert facts.label_values == {3: pytest.approx(8 * 5.0), 18: pytest.approx(5.0)}
    assert facts.foreground is not None
    assert sorted(facts.foreground.tolist()) == [0.0, *[40.0] * 8]
    assert facts.zero_share == pytest.approx(0.75 * 0.5)
    (channel,) = facts.channels
    assert (channel.low, channel.high, channel.not_hu, channel.air) == (-1000, 40, None, True)


def test_intensities_that_are_no_hu_are_found_in_each_channel(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 2)).astype(np.int16)
    image[..., 1] = 0
    facts = read_case({"image": save(tmp_path / "i.nii.gz", image, np.eye(4))})
    assert [channel.not_hu is not None for channel in facts.channels] == [True, True]
    assert facts.label_values is None


def test_values_that_are_not_finite_are_found(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    assert read_case({"image": save(tmp_path / "whole.nii.gz", image, np.eye(4))}).finite
    image[0, 0, 0] = np.nan
    facts = read_case({"image": save(tmp_path / "nan.nii.gz", image, np.eye(4))})
    assert not facts.finite
    assert facts.channels[0].low == pytest.approx(np.nanmin(image))


def test_a_label_on_another_grid_is_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "i.nii.gz", np.ones((8, 8, 8), np.int16), np.eye(4))
    label = save(tmp_path / "l.nii.gz", np.ones((8, 8, 4), np.uint8), np.eye(4))
    with pytest.raises(ValueError, match=r"l.nii.gz has shape \(8, 8, 4\), .*i.nii.gz has \(8, 8, 8\)"):
        read_case({"image": image, "label": label})


def test_cases_with_other_channels_are_refused_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(8, 8, 8, 2)).astype(np.float32)
    save(tmp_path / "a.nii.gz", noise, np.eye(4))
    save(tmp_path / "b.nii.gz", noise[..., 0], np.eye(4))
    with pytest.raises(ValueError, match=r"b.nii.gz has 1 channels; expected 2"):
        survey(DataList(tmp_path), 8, progress=False)
