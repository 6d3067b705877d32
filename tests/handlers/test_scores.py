from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from monai.networks.utils import one_hot

from custom_components.handlers.scores import score_case, summarise

NAMES = ["background", "a", "b", "c"]
SPACING = (1.0, 2.0, 3.0)


def volume(*boxes: tuple[int, tuple[slice, slice, slice]], shape: tuple[int, ...] = (12, 10, 8)) -> torch.Tensor:
    label = torch.zeros(1, *shape)
    for value, box in boxes:
        label[0][box] = value
    return label


def cube(start: int, stop: int, shift: int = 0) -> tuple[slice, slice, slice]:
    return slice(start + shift, stop + shift), slice(start, stop), slice(start, stop)


def test_scores_are_those_of_monai_on_the_whole_volume() -> None:
    rng = torch.Generator().manual_seed(0)
    pred, label = (torch.randint(0, 4, (1, 9, 8, 7), generator=rng) for _ in range(2))
    label[0, :3] = 0
    rows = score_case(pred, label, SPACING, NAMES)
    masks = [one_hot(t[None], 4) for t in (pred, label)]
    expected = compute_hausdorff_distance(*masks, include_background=False, percentile=95, spacing=list(SPACING))
    assert [row["hd95_mm"] for row in rows] == pytest.approx(expected[0].tolist())
    for row in rows:
        a, b = pred == row["value"], label == row["value"]
        assert row["dice"] == pytest.approx(float(2 * (a & b).sum() / (a.sum() + b.sum())))


@pytest.mark.parametrize(("axis", "millimetres"), [(0, 1.0), (1, 2.0), (2, 3.0)])
def test_a_shift_by_one_voxel_is_its_spacing_in_mm(axis: int, millimetres: float) -> None:
    label = volume((1, cube(2, 6)))
    row = score_case(label.roll(1, axis + 1), label, SPACING, NAMES)[0]
    assert row["hd95_mm"] == pytest.approx(millimetres)


def test_a_class_absent_from_the_label_has_no_dice_and_its_paint_a_column_of_its_own() -> None:
    rows = score_case(volume((2, cube(1, 3))), volume((1, cube(4, 6))), SPACING, NAMES)
    missed, painted, neither = rows
    assert missed["dice"] == 0.0
    assert math.isnan(missed["hd95_mm"])
    assert missed["false_positive_ml"] is None
    assert math.isnan(painted["dice"])
    assert math.isnan(painted["hd95_mm"])
    assert painted["false_positive_ml"] == pytest.approx(8 * 6 / 1000)
    assert math.isnan(neither["dice"])
    assert neither["false_positive_ml"] == 0.0


def test_grids_that_differ_are_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 4\).*\(1, 4, 4, 5\)"):
        score_case(torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, 5), SPACING, NAMES)


def test_summary_counts_cases_that_have_the_class_and_leaves_nan_out() -> None:
    there = volume((1, cube(2, 6)), (2, cube(6, 8)))
    rows = [{"case": "good", **row} for row in score_case(there, there, SPACING, NAMES)]
    rows += [
        {"case": "bad", **row}
        for row in score_case(volume((3, cube(1, 2))), volume((1, cube(2, 6))), SPACING, NAMES)
    ]
    summary = summarise(rows, NAMES)
    a, b, c = (summary["classes"][name] for name in "abc")
    assert (a["cases"], a["dice_mean"], a["missed_cases"]) == (2, 0.5, 1)
    assert a["dice_sd"] == pytest.approx(np.std([1, 0], ddof=1))
    assert (a["hd95_mm_mean"], a["hd95_mm_cases"]) == (0.0, 1)  # of the one case with a prediction
    assert (b["cases"], b["dice_mean"], b["dice_sd"], b["absent_cases"]) == (1, 1.0, None, 1)
    assert (c["cases"], c["dice_mean"], c["false_positive_cases"], c["absent_cases"]) == (0, None, 1, 2)
    assert (summary["all"]["cases"], summary["all"]["dice_mean"]) == (2, 0.5)
