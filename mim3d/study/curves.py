"""Curves of trainings: validation values over optimizer steps, and the steps to reach a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mim3d.report.curves import scalars
from mim3d.study.choice import METRIC
from mim3d.study.runs import Run


@dataclass(frozen=True)
class Curve:
    """A validation curve.

    Attributes:
        steps: optimizer steps, ascending.
        values: one for each.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def final(self) -> float | None:
        """The last value; None of an empty curve."""
        return self.values[-1] if self.values else None

    def steps_to(self, level: float | None) -> int | None:
        """Return the steps of the first validation whose value is at least a level; None if there is none."""
        if level is None:
            return None
        return next((step for step, value in zip(self.steps, self.values, strict=True) if value >= level), None)


def validation_curve(run: Run, tag: str = METRIC) -> Curve:
    """Return a validation value of a training over its optimizer steps."""
    return validation_curves(run).get(tag, Curve((), ()))


def validation_curves(run: Run) -> dict[str, Curve]:
    """Return every validation value of a training over its optimizer steps."""
    per_epoch = run.steps // run.epochs
    return {
        tag: Curve(tuple(epoch * per_epoch for epoch in points), tuple(points.values()))
        for tag, points in scalars(run.folder).items()
        if tag.startswith("val_")
    }


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over curves with equal steps; steps that one of them lacks are left out."""
    if not curves:
        return Curve((), ())
    common = sorted(set.intersection(*(set(one.steps) for one in curves)))
    values = [[one.values[one.steps.index(step)] for one in curves] for step in common]
    return Curve(tuple(common), tuple(float(np.mean(row)) for row in values))


def picture_of(run: Run) -> Path | None:
    """Return the latest reconstruction of a pretraining, if its method makes one."""
    path = run.folder / "reconstruction.png"
    return path if path.is_file() else None
