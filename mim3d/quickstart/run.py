"""The quick start from its folder to its last word: define the study, run it, and judge what came of it."""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path

import torch

from custom_components.atomic import read_json, write_atomically
from mim3d.choice import Choice
from mim3d.quickstart.definition import NAME, define, write_definition
from mim3d.study.class_scores import not_learned
from mim3d.study.devices import available_cores
from mim3d.study.folder import MARKER, open_folder
from mim3d.study.pictures import masks_of
from mim3d.study.progress import say
from mim3d.study.results import Results
from mim3d.study.run_study import Outcome, run_study

#: Trainings of one quick start: two arms with two seeds.
TRAININGS = 4
#: Mean Dice below which a run learned nothing: predicting background alone scores 0 on every labelled class.
NOTHING = 0.01


def run_quickstart(arguments: argparse.Namespace, choice: Choice) -> None:
    """Define the study, run it, and keep the segmentations of its fine-tuned network.

    Args:
        arguments: those of ``mim3d quickstart``.
        choice: method and network.

    Raises:
        ValueError: for a folder or data that cannot be used, failed runs, and a run that learned nothing.
    """
    out = arguments.out.resolve()
    if arguments.overwrite:
        remove_earlier(out, arguments.dataset_dir)
    with open_folder(out, NAME):
        file = write_definition(define(arguments, choice, out), out)
    outcome = run_study(study_arguments(out), file)
    assert outcome is not None  # this is not a dry run
    for mask in keep_masks(outcome, out):
        say(f"segmented volume: {mask}")
    judge(outcome.results, arguments.budget)


def study_arguments(out: Path) -> argparse.Namespace:
    """Return the arguments of ``mim3d study``: every GPU, or one run on each core of the CPU."""
    parallel = 1 if torch.cuda.is_available() else min(TRAININGS, len(available_cores()))
    return argparse.Namespace(
        out=out, dataset_dir=None, devices=[], parallel=parallel, budget=1.0, dry_run=False, time=True
    )


def remove_earlier(out: Path, dataset_dir: Path | None) -> None:
    """Delete the folder of an earlier quick start.

    Raises:
        ValueError: if the folder is not one, or if it holds the user's data.
    """
    if not out.exists():
        return
    try:
        ours = read_json(out / MARKER).get("study") == NAME
    except ValueError:
        ours = False
    if not ours:
        raise ValueError(f"{out} was not made by the quick start (no {MARKER} of it), so it is not overwritten")
    if dataset_dir is not None and dataset_dir.resolve().is_relative_to(out):
        raise ValueError(f"--dataset_dir {dataset_dir} lies in {out}, which --overwrite would delete")
    shutil.rmtree(out)


def keep_masks(outcome: Outcome, out: Path) -> list[Path]:
    """Copy the segmentations by fine-tuned weights of the shown test cases to ``out/segmentation``."""
    kept = []
    for shown in outcome.shown:
        *_, tuned = shown.runs.values()  # the first is the reference
        for mask in masks_of(tuned):
            kept.append(out / "segmentation" / mask.name)
            write_atomically(kept[-1], partial(shutil.copy, mask))
    if not kept:
        say("no volume was segmented: inference.yaml reads one file per case; mim3d stack joins files")
    return kept


def judge(results: Results, budget: float) -> None:
    """Say which classes were not learned.

    Raises:
        ValueError: if a run learned nothing at a budget of 1 or more.
    """
    if lost := not_learned(results):
        say(f"warning: no run learned {', '.join(lost)}; the report has the Dice of each class")
    idle = [r.training.title for r in results.all if (r.summary["all"]["dice_mean"] or 0) < NOTHING]
    if idle and budget >= 1:
        raise ValueError(f"{'; '.join(idle)}: it learned nothing, its test Dice is that of background alone")
