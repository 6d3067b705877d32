"""What the runs of a study leave, written without running them."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from mim3d.study.arms import Cell
from mim3d.study.plan import Plan
from mim3d.study.runs import Run
from mim3d.study.stages import chosen_or_first, first_runs

CASES = ("case_0", "case_1", "case_2")
#: Cell -> validation Dice at each validation.
Curve = Callable[[Cell], Sequence[float]]
#: Cell and number of the test case -> its Dice.
Dice = Callable[[Cell, int], float]


def done(run: Run, seconds: float = 10.0) -> None:
    """Write the record of a run."""
    run.folder.mkdir(parents=True, exist_ok=True)
    record = {"digest": run.digest, "title": run.title, "steps": run.steps, "seconds": seconds, "commit": "abc"}
    (run.folder / "done.json").write_text(json.dumps(record))


def events(folder: Path, tag: str, values: Sequence[float], interval: int = 1) -> None:
    """Write a curve for TensorBoard."""
    with SummaryWriter(str(folder)) as writer:
        for number, value in enumerate(values, 1):
            writer.add_scalar(tag, value, number * interval, walltime=time.time())


def leave_training(run: Run, curve: Sequence[float], seconds: float = 10.0) -> None:
    """Write what a segmentation training leaves."""
    done(run, seconds)
    (run.folder / "model.card.json").write_text(json.dumps({"metric": {"val_mean_dice": max(curve)}}))
    events(run.folder, "val_mean_dice", curve, run.epochs // len(curve))


def leave_scores(run: Run, scores: Sequence[float]) -> None:
    """Write what an evaluation leaves."""
    done(run)
    names = ("case", "class", "dice", "nsd", "hd95_mm")
    rows = [(case, "a", score, score, 2.0) for case, score in zip(CASES, scores, strict=True)]
    rows += [(case, "b", "nan", "nan", "nan") for case in CASES]  # a class that no label has
    with (run.folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    mean = sum(scores) / len(scores)
    total = {"dice_mean": mean, "nsd_mean": mean, "hd95_mm_mean": 2.0}
    (run.folder / "summary.json").write_text(json.dumps({"all": total, "classes": {"a": total}}))


def run_all(plan: Plan, curve: Curve, dice: Dice) -> None:
    """Write what every run of a plan with one candidate for each arm leaves."""
    for run in first_runs(plan):
        if run.kind == "pretraining":
            done(run, seconds=100.0)
            events(run.folder, "val_loss", [2.0, 1.0], run.epochs // 2)
    for cell in plan.cells:
        training = chosen_or_first(plan, cell)
        leave_training(training, curve(cell))
        leave_scores(plan.test(training), [dice(cell, number) for number in range(len(CASES))])
