"""What the runs of a study left: one result for each tested cell, and the tables made of them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from custom_components.atomic import read_json
from mim3d.study.arms import Arm, Cell, reference_of
from mim3d.study.choice import choose
from mim3d.study.curves import Curve, validation_curve
from mim3d.study.definition import SCRATCH, Keys
from mim3d.study.plan import Plan
from mim3d.study.runs import Run

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A tested cell.

    Attributes:
        cell: arm, labels, seed and steps.
        keys: the chosen candidate of the rate search.
        training: the run that was tested.
        test: its evaluation on the test cases.
        pretraining: the run whose weights it started from; None from scratch.
        curve: Dice of the validation cases over steps.
    """

    cell: Cell
    keys: Keys
    training: Run
    test: Run
    pretraining: Run | None
    curve: Curve

    @cached_property
    def summary(self) -> Row:
        """What the evaluation wrote."""
        return read_json(self.test.folder / "summary.json")

    @cached_property
    def case_rows(self) -> list[Row]:
        """Scores of each test case and class; a score that was not measured is nan."""
        with (self.test.folder / "cases.csv").open(newline="", encoding="utf-8") as file:
            return [
                {**row, **{key: _score(row.get(key)) for key in ("dice", "nsd", "hd95_mm")}}
                for row in csv.DictReader(file)
            ]

    @property
    def case_dice(self) -> dict[str, float]:
        """Mean Dice over the classes of each test case; cases without a labelled class are left out."""
        values: dict[str, list[float]] = {}
        for row in self.case_rows:
            if not math.isnan(row["dice"]):
                values.setdefault(row["case"], []).append(row["dice"])
        return {case: sum(scores) / len(scores) for case, scores in values.items()}


class Results:
    """The tested cells of a study.

    Args:
        plan: the study's plan; cells whose runs failed are left out.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.all = [result for cell in plan.cells if (result := _result(plan, cell)) is not None]

    def of(self, arm: Arm, labels: int, steps: int) -> list[Result]:
        """Return the results of an arm under one condition, by seed."""
        wanted = (arm.identity, labels, steps)
        found = [r for r in self.all if (r.cell.arm.identity, r.cell.labels, r.cell.steps) == wanted]
        return sorted(found, key=lambda result: result.cell.seed)

    def pairs(
        self, arm: Arm, other: Arm, labels: int, steps: int, other_steps: int | None = None
    ) -> list[tuple[Result, Result]]:
        """Return the results of two arms, paired by seed; ``other_steps`` None: equally long trainings."""
        theirs = {result.cell.seed: result for result in self.of(other, labels, other_steps or steps)}
        mine = self.of(arm, labels, steps)
        return [(result, theirs[result.cell.seed]) for result in mine if result.cell.seed in theirs]

    def reference(self, arm: Arm) -> Arm | None:
        """Return the arm that an arm is compared with."""
        return reference_of(arm, self.plan.arms, self.plan.study.reference)

    def steps_to_scratch(self, result: Result) -> int | None:
        """Return the steps of a run to the final validation Dice of scratch and the same seed."""
        cell = result.cell
        other = reference_of(cell.arm, self.plan.arms, SCRATCH) or cell.arm
        same = [r for r in self.of(other, cell.labels, cell.steps) if r.cell.seed == cell.seed]
        return result.curve.steps_to(same[0].curve.final) if same else None


def _score(text: str | None) -> float:
    return float(text) if text else math.nan


def _result(plan: Plan, cell: Cell) -> Result | None:
    keys = choose(plan, cell)
    if keys is None:
        return None
    training = plan.training(cell, keys)
    test = plan.test(training)
    if training.done is None or test.done is None:
        return None
    before = None if cell.arm.from_scratch else plan.pretraining(cell.arm, cell.seed)
    return Result(cell, keys, training, test, before, validation_curve(training))
