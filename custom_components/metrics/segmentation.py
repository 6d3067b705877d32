"""Dice, surface Dice and Hausdorff distance of a segmentation per case and class or region, and their spread."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import reduce
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from scipy.ndimage import find_objects
from torch import Tensor

Row = dict[str, Any]
Slices = tuple[slice, ...]
Regions = Mapping[str, Sequence[int]]


def check_score_regions(regions: Regions, class_names: Sequence[str]) -> None:
    """Check that every region is a union of classes.

    Args:
        regions: name -> class numbers; they may overlap.
        class_names: in the order of their numbers, background first.

    Raises:
        ValueError: if there is no region, a region has no class, or a number is not that of a class.
    """
    if not regions:
        raise ValueError("regions is empty; name a region, or give null to score each class")
    for name, values in regions.items():
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise ValueError(f"region {name!r} is {values!r}; allowed: a list of one or more class numbers")
        for value in values:
            if value not in range(1, len(class_names)):
                raise ValueError(f"region {name!r} has class {value!r}; allowed: 1 to {len(class_names) - 1}")


def score_case(
    pred: Tensor,
    label: Tensor,
    spacing: Sequence[float],
    class_names: Sequence[str],
    percentile: float = 95,
    regions: Regions | None = None,
    tolerance: float = 1.0,
) -> list[Row]:
    """Score one case by overlap and surface distance, for each class but the background, or for each region.

    The distance is the larger of the two directed ``percentile``-th percentiles of surface distances, as in
    `monai.metrics.compute_hausdorff_distance`. Dice is nan if the label lacks the class; the distance is nan if
    label or prediction lack it. The normalised surface Dice is the share of voxels on both surfaces that lie
    within ``tolerance`` of the other surface, as in `monai.metrics.compute_surface_dice`. It is nan if the label
    lacks the class, and 0 if only the prediction does.

    Args:
        pred: class numbers, ``(1, D, H, W)``.
        label: class numbers, ``(1, D, H, W)``.
        spacing: mm per voxel along the three axes.
        class_names: in the order of their numbers, background first.
        percentile: in (0, 100].
        regions: name -> class numbers whose union is scored under that name; they may overlap. None: each class.
        tolerance: of the surface Dice, in mm.

    Returns:
        One row per class or region: ``value`` (of a region ``"1+3"``), ``class`` (its name), ``dice`` and ``nsd``
        (surface Dice) in [0, 1], ``hd95_mm`` (or ``hd<percentile>_mm``), ``label_voxels``, ``predicted_voxels``,
        and ``false_positive_ml``: the predicted volume of a class that the label lacks; None if the label has it.

    Raises:
        ValueError: if the grids differ, or for regions that `check_score_regions` refuses.
    """
    if pred.shape != label.shape:
        raise ValueError(f"prediction of shape {tuple(pred.shape)}, label of shape {tuple(label.shape)}")
    if regions is not None:
        check_score_regions(regions, class_names)
    found, true = (t[0].cpu().numpy().astype(np.uint8) for t in (pred, label))
    number = len(class_names) - 1
    boxes = [_union(*pair) for pair in zip(find_objects(found, number), find_objects(true, number), strict=True)]
    voxel_ml = float(np.prod(spacing)) / 1000
    rows = []
    for value, name, values in _scored(class_names, regions):
        box = reduce(_union, [boxes[v - 1] for v in values])
        a, b = (np.isin(t[box], values) if box else np.zeros(0, bool) for t in (found, true))
        predicted, labelled = int(a.sum()), int(b.sum())
        both = predicted and labelled
        rows.append(
            {
                "value": value,
                "class": name,
                "dice": 2 * int((a & b).sum()) / (predicted + labelled) if labelled else math.nan,
                "nsd": _surface_dice(a, b, spacing, tolerance) if both else 0.0 if labelled else math.nan,
                f"hd{percentile:g}_mm": _distance(a, b, spacing, percentile) if both else math.nan,
                "label_voxels": labelled,
                "predicted_voxels": predicted,
                "false_positive_ml": None if labelled else predicted * voxel_ml,
            }
        )
    return rows


def _scored(class_names: Sequence[str], regions: Regions | None) -> list[tuple[int | str, str, list[int]]]:
    """Return what is scored: value and name for the row, and the class numbers."""
    if regions is None:
        return [(value, name, [value]) for value, name in enumerate(class_names[1:], 1)]
    return [("+".join(map(str, values)), name, list(values)) for name, values in regions.items()]


def _distance(a: np.ndarray, b: np.ndarray, spacing: Sequence[float], percentile: float) -> float:
    predicted, labelled = (torch.from_numpy(mask)[None, None] for mask in (a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 uses an argument that it has deprecated itself
        value = compute_hausdorff_distance(
            predicted, labelled, include_background=True, percentile=percentile, spacing=list(spacing)
        )
    return float(value)


def _surface_dice(a: np.ndarray, b: np.ndarray, spacing: Sequence[float], tolerance: float) -> float:
    predicted, labelled = (torch.from_numpy(mask)[None, None] for mask in (a, b))
    return float(
        compute_surface_dice(predicted, labelled, [tolerance], include_background=True, spacing=list(spacing))
    )


def _union(a: Slices | None, b: Slices | None) -> Slices | None:
    """Return the box around two boxes."""
    if a is None or b is None:
        return a or b
    return tuple(slice(min(i.start, j.start), max(i.stop, j.stop)) for i, j in zip(a, b, strict=True))


def summarise(rows: Sequence[Row], class_names: Sequence[str], distance: str = "hd95_mm") -> dict[str, Any]:
    """Return mean and standard deviation (n - 1) over cases, per class and in total; None if nothing was measured.

    A class counts in the cases whose label has it; a distance also needs a prediction, so it states its number of
    cases. The total, ``all``, is over cases: of each case, the mean over its classes.

    Args:
        rows: of `score_case`, with the key ``case``.
        class_names: the background, and the names in the rows (those of regions, if regions were scored).
        distance: key of the distance in the rows.
    """
    classes: dict[str, Row] = {}
    for name in class_names[1:]:
        own = [row for row in rows if row["class"] == name]
        there = [row for row in own if row["label_voxels"]]
        absent = [row for row in own if not row["label_voxels"]]
        classes[name] = {
            "cases": len(there),
            **_spread("dice", [row["dice"] for row in there]),
            **_spread("nsd", [row["nsd"] for row in there]),
            **_spread(distance, [row[distance] for row in there]),
            "missed_cases": sum(not row["predicted_voxels"] for row in there),
            "absent_cases": len(absent),
            "false_positive_cases": sum(bool(row["predicted_voxels"]) for row in absent),
            **_spread("false_positive_ml", [row["false_positive_ml"] for row in absent]),
        }
    cases = dict.fromkeys(row["case"] for row in rows)
    total: Row = {"cases": len(cases)}
    for key in ("dice", "nsd", distance):
        of_cases = [_mean([row[key] for row in rows if row["case"] == case]) for case in cases]
        total |= _spread(key, of_cases)
    return {"all": total, "classes": classes}


def _finite(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def _mean(values: Sequence[float | None]) -> float | None:
    finite = _finite(values)
    return mean(finite) if finite else None


def _spread(name: str, values: Sequence[float | None]) -> Row:
    finite = _finite(values)
    return {
        f"{name}_mean": _mean(finite),
        f"{name}_sd": stdev(finite) if len(finite) > 1 else None,
        f"{name}_cases": len(finite),
    }
