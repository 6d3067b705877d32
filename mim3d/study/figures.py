"""The figures of a study: validation curves with bands, differences of single cases, pretext curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mim3d.study.comparison import Comparison
from mim3d.study.curves import Curve, mean_curve
from mim3d.study.results import Results

COLUMNS = 3
_DPI = 110


def colours(names: Sequence[str]) -> dict[str, Any]:
    """Return one colour for each arm, the same in every figure."""
    palette = matplotlib.colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: palette(number % palette.N) for number, name in enumerate(names)}


def draw_curves(results: Results, budget: int, target: Path) -> bool:
    """Draw the validation Dice of each arm over steps: mean of the seeds, and a band from lowest to highest.

    Args:
        results: of the study.
        budget: steps asked for.
        target: the PNG.

    Returns:
        Whether there was anything to draw.
    """
    plan = results.plan
    shown = colours([arm.name for arm in plan.arms])
    counts = [n for n in plan.label_counts if any(results.of(arm, n, budget) for arm in plan.arms)]
    if not counts:
        return False
    figure, panels = _panels(len(counts), sharey=True)
    for panel, labels in zip(panels, counts, strict=False):
        for arm in plan.arms:
            curves = [result.curve for result in results.of(arm, labels, budget)]
            _draw_band(panel, curves, arm.name, shown[arm.name])
        panel.set(title=f"{labels} labelled cases", xlabel="optimizer steps", ylabel="Dice, validation cases")
        panel.grid(alpha=0.3)
    _legend(figure, panels[0])
    return _save(figure, target)


def draw_differences(results: Results, comparisons: Sequence[Comparison], target: Path) -> bool:
    """Draw each test case's difference of Dice to the reference as a dot, and the mean with its interval."""
    if not comparisons:
        return False
    names = list(dict.fromkeys(one.arm.name for one in comparisons))
    counts = sorted({one.labels for one in comparisons})
    shown = colours([arm.name for arm in results.plan.arms])
    figure = Figure(figsize=(max(7.0, 1.2 * len(counts) * len(names)), 4.5), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)  # of the sideways scatter only
    for one in comparisons:
        place = counts.index(one.labels) + (names.index(one.arm.name) + 1) / (len(names) + 1) - 0.5
        width = 0.3 / (len(names) + 1)
        across = place + rng.uniform(-width, width, len(one.differences))
        axes.scatter(across, one.differences, s=10, alpha=0.4, color=shown[one.arm.name])
        low, high = one.interval
        error = [[max(0.0, one.difference - low)], [max(0.0, high - one.difference)]]
        axes.errorbar(place, one.difference, error, fmt="o", color="black", capsize=4, markersize=5, zorder=3)
    for name in names:
        axes.scatter([], [], color=shown[name], label=name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(counts)), [f"{count} labels" for count in counts])
    axes.set_xlim(-0.6, len(counts) - 0.4)
    axes.set_ylabel("Dice minus that of the reference, per test case")
    _legend(figure, axes)
    return _save(figure, target)


def draw_pretext(curves: Mapping[str, Mapping[str, Curve]], target: Path) -> bool:
    """Draw the validation values of pretrainings over steps.

    Args:
        curves: name of a pretraining -> name of a value -> curve.
        target: the PNG.
    """
    tags = sorted({tag for one in curves.values() for tag in one})
    if not tags:
        return False
    figure, panels = _panels(len(tags))
    shown = colours(list(curves))
    for panel, tag in zip(panels, tags, strict=False):
        for name, one in curves.items():
            if tag in one:
                panel.plot(one[tag].steps, one[tag].values, marker=".", label=name, color=shown[name])
        panel.set(title=tag, xlabel="optimizer steps")
        panel.grid(alpha=0.3)
    for name in curves:  # the first panel may lack some of them
        panels[0].plot([], [], color=shown[name], label=f" {name}")
    handles = panels[0].get_lines()[-len(curves) :]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2, len(handles)), fontsize="small")
    return _save(figure, target)


def _draw_band(panel: Any, curves: Sequence[Curve], name: str, colour: Any) -> None:
    average = mean_curve(curves)
    if not average.steps:
        return
    values = [[one.values[one.steps.index(step)] for step in average.steps] for one in curves]
    panel.plot(average.steps, average.values, marker=".", label=name, color=colour)
    panel.fill_between(average.steps, np.min(values, axis=0), np.max(values, axis=0), alpha=0.15, color=colour)


def _panels(count: int, sharey: bool = False) -> tuple[Figure, list[Any]]:
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows + 0.5), layout="constrained")
    panels = list(np.ravel(figure.subplots(rows, columns, squeeze=False, sharey=sharey)))
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, panels


def _legend(figure: Figure, axes: Any) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), fontsize="small")


def _save(figure: Figure, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=_DPI)
    return True
