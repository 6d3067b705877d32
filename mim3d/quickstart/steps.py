"""The steps of the quick start, in order.

Every training, evaluation and inference is ``python -m monai.bundle run`` on the shipped configs with their smoke
layers. This module only calls them one after another.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser

from custom_components.config_text import as_argument
from mim3d.catalog import ROOT
from mim3d.children import run_child
from mim3d.quickstart.choice import Choice
from mim3d.quickstart.data import DataSet, held_out_section, prepare
from mim3d.quickstart.report import write_report

#: Optimizer steps of pretraining, and of each of the two segmentation runs, at a budget of 1.
PRETRAINING_STEPS, SEGMENTATION_STEPS = 160, 240
VALIDATIONS = 6  # points on a Dice curve; fewer at a budget below 1
#: A file in every folder that the quick start made; --overwrite deletes no other folder.
MARKER = ".quickstart"


def run_bundle(step: str, files: list[str], **overrides: Any) -> float:
    """Run ``monai.bundle run`` in a process of its own.

    Args:
        step: name of the step, for the messages.
        files: config files, in their order.
        **overrides: config keys and their values.

    Returns:
        Seconds that it took.

    Raises:
        ChildProcessError: if it fails.
    """
    print(f"\n=== {step}", flush=True)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
    for key, value in overrides.items():
        command += [f"--{key}", as_argument(value)]
    start = time.perf_counter()
    status = run_child(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    if status:
        raise ChildProcessError(f"{step} failed with exit status {status}; its message is above")
    return time.perf_counter() - start


@dataclass(frozen=True)
class Steps:
    """The runs of one quick start: which config files and overrides each takes.

    Attributes:
        data: the data and its task.
        choice: method and network.
        out: folder of all results.
        seed: of all runs.
        budget: factor on the optimizer steps of every training.
    """

    data: DataSet
    choice: Choice
    out: Path
    seed: int
    budget: float = 1.0

    def files(self, bundle: Path, first: str = "train.yaml", *last: str) -> list[str]:
        """Return a bundle's configs: ``first``, the layers smoke, task, own data and network, then ``last``."""
        task = self.data.task
        layers = ["smoke.yaml"] if bundle == task.bundle else task.pretraining_layers(smoke=True)
        files = [str(bundle / "configs" / name) for name in (first, *layers)]
        files += [str(self.data.own_layer)] if self.data.own_layer else []
        return files + [str(bundle / "configs" / name) for name in (*self.choice.layers(bundle), *last)]

    def overrides(self, bundle: Path) -> dict[str, Any]:
        """Return the overrides that every run of a bundle gets."""
        view = {"spacing": self.data.spacing} if self.data.spacing else {}
        return {"bundle_root": bundle, **view, **self.choice.overrides(bundle, self.data.name)}

    def train(self, step: str, bundle: Path, run: str, steps: int, section: str, **more: Any) -> float:
        """Train on a section of the data list for at least ``budget * steps`` optimizer steps; return the seconds.

        Args:
            step: name of the step, for the messages.
            bundle: the bundle's folder.
            run: name of the run, and of its folder in ``out``.
            steps: optimizer steps at a budget of 1.
            section: section of the data list that the bundle trains on.
            **more: further overrides.
        """
        files = self.files(bundle)
        batch = ConfigParser(ConfigParser.load_config_files(files)).get_parsed_content("batch_size")
        validations = max(1, min(VALIDATIONS, int(VALIDATIONS * self.budget)))
        steps = max(1, int(steps * self.budget))
        epochs = epochs_for(steps, len(self.data.items(section)), batch, validations)
        schedule = {"epochs": epochs, "val_interval": max(1, epochs // validations)}
        return run_bundle(step, files, **self._run_overrides(bundle, run), **schedule, **more)

    def evaluate(self, step: str, bundle: Path, run: str, **more: Any) -> None:
        """Evaluate the weights of a run."""
        files = self.files(bundle, "train.yaml", "evaluate.yaml")
        run_bundle(step, files, **self._run_overrides(bundle, run), **more)

    def segment(self, image: str) -> None:
        """Segment one volume that no run was trained on, with the fine-tuned weights."""
        bundle = self.data.task.bundle
        run_bundle(
            "inference on a new volume",
            self.files(bundle, "inference.yaml"),
            **self.overrides(bundle),
            dataset_dir=self.data.dataset_dir / image,
            weights=self.out / "finetuned" / "model.pt",
            output_dir=self.out / "segmentation",
        )

    def _run_overrides(self, bundle: Path, run: str) -> dict[str, Any]:
        folders = {"ckpt_dir": self.out / run, "output_dir": self.out / run}
        return {"dataset_dir": self.data.dataset_dir, "seed": self.seed, **self.overrides(bundle), **folders}


def epochs_for(steps: int, volumes: int, batch: int, validations: int) -> int:
    """Return the epochs that give at least ``steps`` optimizer steps, and at least one epoch per validation."""
    return max(validations, -(-steps // max(1, volumes // batch)))


def start_folder(out: Path, overwrite: bool, dataset_dir: Path | None) -> None:
    """Make ``out`` an empty folder with the marker file in it.

    Raises:
        ValueError: if ``out`` is a file, is not empty without ``overwrite``, was not made by the quick start, or
            holds the user's data.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; give another --out")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise ValueError(f"{out} is not empty; give another --out, or --overwrite to replace it")
        if not (out / MARKER).is_file():
            raise ValueError(
                f"{out} was not made by the quick start (no {MARKER} in it), so it is not overwritten"
            )
        if dataset_dir is not None and dataset_dir.resolve().is_relative_to(out):
            raise ValueError(f"--dataset_dir {dataset_dir} lies in {out}, which --overwrite would delete")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text(
        "made by mim3d quickstart, whose --overwrite deletes this folder\n", encoding="utf-8"
    )


def run_all(arguments: argparse.Namespace, choice: Choice) -> None:
    """Run every step and write the report.

    Args:
        arguments: those of ``mim3d quickstart``.
        choice: method and network.

    Raises:
        ValueError: for a folder or data that cannot be used, and if a run learned nothing.
        ChildProcessError: if a step fails.
    """
    out = arguments.out.resolve()
    start_folder(out, arguments.overwrite, arguments.dataset_dir)
    start = time.perf_counter()
    data = prepare(arguments, out)
    held_out = held_out_section(data)
    seconds = {"data": time.perf_counter() - start}
    steps = Steps(data, choice, out, arguments.seed, arguments.budget)
    seconds |= _train_and_evaluate(steps, held_out)
    case = data.items(held_out)[0]
    if isinstance(case["image"], str):  # inference.yaml reads one file per volume
        steps.segment(case["image"])
    seconds["all"] = time.perf_counter() - start
    print(f"\nreport: {write_report(steps, case, seconds)}")


def _train_and_evaluate(steps: Steps, held_out: str) -> dict[str, float]:
    """Pretrain, then train the two segmentation runs; return the seconds of each training."""
    method, segment = steps.choice.method, steps.data.task.bundle
    # Validation volumes are never trained on, so pretraining may be validated on their images too.
    step = f"pretraining ({method.title}, {steps.choice.backbone})"
    seconds = {"pretraining": steps.train(step, method.bundle, "pretrain", PRETRAINING_STEPS, "unlabelled")}
    steps.evaluate("pretext scores", method.bundle, "pretrain")
    for run, weights in (("scratch", {}), ("finetuned", {"pretrained": steps.out / "pretrain" / "model.pt"})):
        seconds[run] = steps.train(f"segmentation, {run}", segment, run, SEGMENTATION_STEPS, "training", **weights)
        steps.evaluate(f"evaluation, {run}", segment, run, evaluate_section=held_out)
    return seconds
