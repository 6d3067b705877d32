"""Modality, spacing and intensity of a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mim3d.catalog import METHODS
from mim3d.plan.decisions import value_of
from mim3d.plan.survey import Survey
from mim3d.plan.view import (
    decide_channels,
    decide_intensity,
    decide_non_finite,
    decide_spacing,
    find_modality,
    target_spacing,
)
from tests.mim3d.plan.conftest import HU, MR

MakeSurvey = Callable[..., Survey]


@pytest.mark.parametrize(
    ("names", "channels", "name", "hounsfield"),
    [
        (["CT"], (HU,), "CT", True),
        ([], (HU,), "CT", True),
        (["MRI"], (HU,), "MRI", False),
        (["T1w"], (MR,), "MRI", False),
        (["CT"], (MR,), "CT", False),
        ([], (MR,), "unknown", False),
        ([], (HU._replace(air=False),), "unknown", False),
        (["CT", "PET"], (HU, MR), "unknown", False),
        (["FLAIR", "T1 post-contrast"], (MR, MR), "MRI", False),
    ],
)
def test_names_decide_the_modality_and_voxels_whether_it_is_in_hu(
    make_survey: MakeSurvey, names: list[str], channels: tuple[Any, ...], name: str, hounsfield: bool
) -> None:
    found = find_modality(make_survey(names, channels))
    assert (found.name, found.hounsfield) == (name, hounsfield)


def test_ct_that_is_not_in_hu_is_named_with_what_to_do(make_survey: MakeSurvey) -> None:
    warning = find_modality(make_survey(["CT"], (MR,))).warning
    assert (
        "1 of 1 volumes read are not in HU, such as case_0.nii.gz (0 to 900: no HU; check the modality)" in warning
    )
    assert find_modality(make_survey(["CT"], (HU,))).warning == ""


def test_channels_without_a_name_get_one(make_survey: MakeSurvey) -> None:
    for channels, expected in (((HU,), ["CT"]), ((MR,), ["image"]), ((MR, MR), ["channel 0", "channel 1"])):
        found = make_survey([], channels)
        assert decide_channels(found, find_modality(found)).value == expected
    found = make_survey(["T1", "FLAIR"], (MR, MR))
    assert decide_channels(found, find_modality(found)).value == ["T1", "FLAIR"]


def test_the_spacing_is_the_median_unless_voxels_are_long_and_few() -> None:
    thick = np.array([[0.8, 0.8, z] for z in (2.0, 3.0, 5.0, 5.0, 7.0)])
    few, many = np.array([[512, 512, 100]] * 5), np.array([[512, 512, 400]] * 5)
    spacing, reason = target_spacing(few, thick)
    # the 10th percentile of 2, 3, 5, 5, 7: 0.4 of the way from the first to the second
    assert spacing == pytest.approx([0.8, 0.8, 2.4])
    assert "along superior-inferior" in reason
    assert "10th percentile (2.4 mm; the median is 5 mm)" in reason
    assert target_spacing(many, thick) == ([0.8, 0.8, 5.0], "Median of the volumes.")
    assert target_spacing(few, np.array([[0.8, 0.8, 2.0]] * 5))[0] == [0.8, 0.8, 2.0]


def test_the_coarse_spacing_is_never_below_the_others() -> None:
    spacings = np.array([[1.0, 1.0, 0.5], *[[1.0, 1.0, 5.0]] * 4])
    assert target_spacing(np.array([[300, 300, 40]] * 5), spacings)[0][2] == pytest.approx(2.3)
    spacings = np.array([[1.0, 1.0, 0.5]] * 2 + [[1.0, 1.0, 5.0]] * 3)
    assert target_spacing(np.array([[300, 300, 40]] * 5), spacings)[0] == [1.0, 1.0, 1.0]


def test_the_small_form_makes_the_longest_side_96_voxels(make_survey: MakeSurvey) -> None:
    found = make_survey(shape=(384, 384, 100), spacing=(1.0, 1.0, 5.0))
    assert decide_spacing(found, small=False).value == [1.0, 1.0, 5.0]
    # 500 mm / 96
    assert decide_spacing(found, small=True).value == [5.21, 5.21, 5.21]
    assert decide_spacing(make_survey(shape=(40, 50, 60)), small=True).value == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("names", "zero", "target", "crop"),
    [
        (["CT"], 0.0, "ScaleIntensityRanged", "$monai.transforms.utils.is_positive"),
        (["MRI"], 0.5, "NormalizeIntensityd", "$functools.partial(operator.ne, 0)"),
        (["MRI"], 0.1, "NormalizeIntensityd", "$torch.isfinite"),
    ],
)
def test_intensity_is_that_of_a_shipped_layer(
    make_survey: MakeSurvey, method: str, names: list[str], zero: float, target: str, crop: str
) -> None:
    found = make_survey(names, (HU if names == ["CT"] else MR,), zero=zero)
    made = decide_intensity(found, find_modality(found), METHODS[method])
    assert value_of(made, "intensity", "segment")["_target_"] == target
    assert value_of(made, "intensity", "segment").get("nonzero", False) == (zero > 0.2)
    assert value_of(made, "select_foreground", "segment") == crop
    assert value_of(made, "view", "pretrain") == value_of(made, "view", "segment")


def test_volumes_with_nan_are_told_and_replaced(make_survey: MakeSurvey) -> None:
    found = make_survey(values=(None, None))
    assert decide_non_finite(found) == []
    found.read[1] = found.read[1]._replace(finite=False)
    (made,) = decide_non_finite(found)
    assert (made.key, made.value) == ("non_finite", "replace")
    assert made.reason.startswith("1 of 2 volumes read hold NaN or infinity, such as case_1.nii.gz.")


def test_the_window_holds_soft_tissue_and_the_labelled_voxels(make_survey: MakeSurvey) -> None:
    def window(**facts: Any) -> Any:
        found = make_survey(["CT"], (HU,), **facts)
        return value_of(decide_intensity(found, find_modality(found), METHODS["mae"]), "window", "pretrain")

    assert window() == [-175.0, 250.0]
    assert window(foreground=range(0, 101)) == [-175.0, 250.0]
    # 0.5 % and 99.5 % of -900 to 700 are -892 and 692: rounded outwards to 25 HU
    assert window(foreground=range(-900, 701)) == [-900.0, 700.0]
    assert window(foreground=[-5000, 9000] * 10) == [-1000.0, 3000.0]
