from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from monai.networks.utils import one_hot

from custom_components.metrics.segmentation import check_score_regions, score_case, summarise

NAMES = ["background", "a", "b", "c"]
SPACING = (1.0, 2.0, 3.0)
REGIONS = {"tumour core": [1, 3], "whole tumour": [1, 2, 3], "enhancing tumour": [3]}


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
    surface = compute_surface_dice(*masks, [2.0] * 3, include_background=False, spacing=list(SPACING))
    tolerant = score_case(pred, label, SPACING, NAMES, tolerance=2.0)
    assert [row["nsd"] for row in tolerant] == pytest.approx(surface[0].tolist())
    for row in rows:
        a, b = pred == row["value"], label == row["value"]
        assert row["dice"] == pytest.approx(float(2 * (a & b).sum() / (a.sum() + b.sum())))


@pytest.mark.parametrize(("axis", "millimetres"), [(0, 1.0), (1, 2.0), (2, 3.0)])
def test_a_shift_by_one_voxel_is_its_spacing_in_mm(axis: int, millimetres: float) -> None:
    label = volume((1, cube(2, 6)))
    row = score_case(label.roll(1, axis + 1), label, SPACING, NAMES)[0]
    assert row["hd95_mm"] == pytest.approx(millimetres)
    shifted = label.roll(1, axis + 1)
    assert score_case(shifted, label, SPACING, NAMES, tolerance=millimetres)[0]["nsd"] == 1.0
    assert score_case(shifted, label, SPACING, NAMES, tolerance=0.9 * millimetres)[0]["nsd"] < 1.0


def test_a_class_absent_from_the_label_has_no_dice_and_its_paint_a_column_of_its_own() -> None:
    rows = score_case(volume((2, cube(1, 3))), volume((1, cube(4, 6))), SPACING, NAMES)
    missed, painted, neither = rows
    assert (missed["dice"], missed["nsd"]) == (0.0, 0.0)
    assert math.isnan(painted["nsd"])
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


def voxels_of(volume: torch.Tensor, values: list[int]) -> set[tuple[int, ...]]:
    """A region's voxels, one by one."""
    grid = volume[0].tolist()
    indices = itertools.product(*(range(n) for n in volume.shape[1:]))
    return {(i, j, k) for i, j, k in indices if grid[i][j][k] in values}


def slow_dice(a: set[tuple[int, ...]], b: set[tuple[int, ...]]) -> float:
    return 2 * len(a & b) / (len(a) + len(b)) if b else math.nan


def slow_hd95(a: set[tuple[int, ...]], b: set[tuple[int, ...]]) -> float:
    """Of surface voxels (those with a face to the outside), every pair's distance in mm."""
    if not (a and b):
        return math.nan
    faces = [tuple(sign * (axis == k) for k in range(3)) for axis in range(3) for sign in (-1, 1)]

    def surface(region: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [v for v in region if any(tuple(map(sum, zip(v, f, strict=True))) not in region for f in faces)]

    def directed(start: list[tuple[int, ...]], end: list[tuple[int, ...]]) -> float:
        scaled = [[tuple(n * mm for n, mm in zip(v, SPACING, strict=True)) for v in side] for side in (start, end)]
        nearest = sorted(min(math.dist(p, q) for q in scaled[1]) for p in scaled[0])
        place = 0.95 * (len(nearest) - 1)
        low = math.floor(place)
        return nearest[low] + (place - low) * (nearest[min(low + 1, len(nearest) - 1)] - nearest[low])

    one, two = surface(a), surface(b)
    return max(directed(one, two), directed(two, one))


def same(found: dict[str, Any], a: set[tuple[int, ...]], b: set[tuple[int, ...]]) -> None:
    assert found["dice"] == pytest.approx(slow_dice(a, b), nan_ok=True)
    assert found["hd95_mm"] == pytest.approx(slow_hd95(a, b), abs=1e-4, nan_ok=True)  # percentile in float32
    assert (found["predicted_voxels"], found["label_voxels"]) == (len(a), len(b))
    assert found["false_positive_ml"] == (None if b else pytest.approx(len(a) * 6 / 1000))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), gone=st.sets(st.integers(1, 3)), share=st.floats(0.02, 0.6))
def test_regions_are_scored_as_a_loop_over_voxels_does(seed: int, gone: set[int], share: float) -> None:
    rng = np.random.RandomState(seed)
    pred, label = (
        torch.from_numpy(rng.randint(1, 4, (1, 7, 5, 6)) * (rng.rand(1, 7, 5, 6) < share)) for _ in range(2)
    )
    for value in gone:  # classes that the label lacks: some regions are absent, others smaller
        label[label == value] = 0
    rows = score_case(pred, label, SPACING, NAMES, regions=REGIONS)
    assert [(row["class"], row["value"]) for row in rows] == [
        ("tumour core", "1+3"),
        ("whole tumour", "1+2+3"),
        ("enhancing tumour", "3"),
    ]
    for row, values in zip(rows, REGIONS.values(), strict=True):
        same(row, voxels_of(pred, values), voxels_of(label, values))


def test_a_region_of_parts_far_apart_is_one_region() -> None:
    label = volume((1, cube(0, 2)), (3, cube(6, 8)))
    pred = volume((3, cube(0, 2)), (1, cube(6, 8)), (2, cube(4, 5)))  # the core's parts swapped: the core is right
    core, whole, enhancing = score_case(pred, label, SPACING, NAMES, regions=REGIONS)
    assert (core["dice"], core["hd95_mm"]) == (1.0, 0.0)
    assert whole["dice"] == pytest.approx(2 * 16 / 33)
    assert enhancing["dice"] == 0.0


def test_a_region_per_class_scores_as_the_classes_do() -> None:
    rng = torch.Generator().manual_seed(0)
    pred, label = (torch.randint(0, 4, (1, 9, 8, 7), generator=rng) for _ in range(2))
    alone = score_case(pred, label, SPACING, NAMES, regions={name: [k] for k, name in enumerate(NAMES) if k})
    assert [{**row, "value": int(row["value"])} for row in alone] == score_case(pred, label, SPACING, NAMES)


def test_an_absent_region_counts_its_false_positives() -> None:
    rows = [
        {"case": "one", **row}
        for row in score_case(volume((3, cube(1, 3))), volume((2, cube(4, 6))), SPACING, NAMES, regions=REGIONS)
    ]
    summary = summarise(rows, ["background", *REGIONS])["classes"]
    assert list(summary) == list(REGIONS)
    core = summary["tumour core"]
    assert (core["cases"], core["dice_mean"], core["false_positive_cases"]) == (0, None, 1)
    assert core["false_positive_ml_mean"] == pytest.approx(8 * 6 / 1000)
    assert (summary["whole tumour"]["cases"], summary["whole tumour"]["dice_mean"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({}, "regions is empty"),
        ({"core": []}, r"region 'core' is \[\]; allowed: a list of one or more"),
        ({"core": 3}, "region 'core' is 3; allowed: a list"),
        ({"core": "13"}, "region 'core' is '13'; allowed: a list"),
        ({"fine": [1], "core": [1, 4]}, "region 'core' has class 4; allowed: 1 to 3"),
        ({"core": [0, 1]}, "region 'core' has class 0; allowed: 1 to 3"),
        ({"core": [1.5]}, "region 'core' has class 1.5"),
    ],
)
def test_a_region_that_is_no_union_of_classes_is_named(regions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_score_regions(regions, NAMES)
    with pytest.raises(ValueError, match=message):
        score_case(volume(), volume(), SPACING, NAMES, regions=regions)
