"""The choice of the learning rate: by the Dice of validation cases, never of test cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from custom_components.atomic import read_json
from mim3d.study.arms import Cell
from mim3d.study.definition import Keys
from mim3d.study.plan import Plan
from mim3d.study.runs import Run

METRIC = "val_mean_dice"


@dataclass(frozen=True)
class Trial:
    """One training of the rate search.

    Attributes:
        cell: arm, labels, seed and steps.
        candidate: the keys that were tried.
        run: the training.
        dice: best mean Dice on the validation cases; None if the training failed.
    """

    cell: Cell
    candidate: Keys
    run: Run
    dice: float | None


def search_runs(plan: Plan, cell: Cell) -> list[tuple[Cell, Keys, Run]]:
    """Return the trainings on which the candidates for a cell are compared; none if there is one candidate."""
    candidates = plan.candidates(cell.arm)
    if len(candidates) == 1:
        return []
    cells = plan.search_cell(cell)
    return [(one, candidate, plan.training(one, candidate)) for candidate in candidates for one in cells]


def trials(plan: Plan, cell: Cell) -> list[Trial]:
    """Return what the rate search for a cell found."""
    return [Trial(one, candidate, run, validation_dice(run)) for one, candidate, run in search_runs(plan, cell)]


def choose(plan: Plan, cell: Cell) -> Keys | None:
    """Return the candidate with the highest mean validation Dice; None if no candidate was trained on all seeds.

    At equal Dice the earlier candidate wins.
    """
    candidates = plan.candidates(cell.arm)
    if len(candidates) == 1:
        return candidates[0]
    found = trials(plan, cell)
    scores = [mean_dice([trial for trial in found if trial.candidate == candidate]) for candidate in candidates]
    known = [score for score in scores if score is not None]
    return candidates[scores.index(max(known))] if known else None


def mean_dice(found: Sequence[Trial]) -> float | None:
    """Return the mean over trials; None if one failed."""
    values = [trial.dice for trial in found if trial.dice is not None]
    return mean(values) if values and len(values) == len(found) else None


def validation_dice(run: Run) -> float | None:
    """Return the Dice of the weights that a training kept, on the validation cases; None if it is not done."""
    if run.done is None:
        return None
    return float(read_json(run.folder / "model.card.json")["metric"][METRIC])


def at_the_edge(candidates: Sequence[Keys], chosen: Keys) -> bool:
    """Return whether the chosen rate is the lowest or highest of those tried: a better one may lie beyond."""
    rates = sorted({float(keys["learning_rate"]) for keys in candidates if "learning_rate" in keys})
    return len(rates) > 1 and float(chosen.get("learning_rate", rates[0])) in (rates[0], rates[-1])
