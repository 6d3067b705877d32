"""The main job, small: data, pretraining, fine-tuning against scratch, evaluation, segmentation, report.

Every step is ``python -m monai.bundle run`` on the shipped configs with their smoke layers; this file only
strings them together. ``ci/quickstart.sh`` installs what it needs and calls it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from mim3d.catalog import ROOT, Choice
from mim3d.quickstart.arguments import parse
from mim3d.quickstart.report import write_report
from mim3d.quickstart.tasks import Task, held_out_section, prepare

#: Optimizer steps, at least, of pretraining and of each of the two segmentation runs.
STEPS = (160, 240)
VALIDATIONS = 6  # points on a Dice curve
#: Lies in every folder this script made; --overwrite deletes no other.
MARKER = ".quickstart"


def run_bundle(what: str, files: list[str], **overrides: Any) -> float:
    """One ``monai.bundle run``; returns its seconds. A failed step ends everything."""
    print(f"\n=== {what}", flush=True)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
    for key, value in overrides.items():
        command += [f"--{key}", str(value)]
    start = time.perf_counter()
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}).returncode
    if code:
        raise SystemExit(f"error: {what} failed with exit status {code}; its message is above")
    return time.perf_counter() - start


@dataclass(frozen=True)
class Steps:
    """The shipped configs in small: which files and overrides each step of one quick start runs with."""

    task: Task
    choice: Choice
    out: Path
    seed: int

    def files(self, bundle: Path, first: str = "train.yaml", *last: str) -> list[str]:
        """A bundle's configs in their order: first, the layers smoke, task, own data and network, last."""
        task_layers = self.task.pretraining_layers if bundle == self.choice.method.bundle else []
        files = [str(bundle / "configs" / name) for name in (first, "smoke.yaml", *task_layers)]
        files += [str(self.task.own_layer)] if self.task.own_layer else []
        return files + [str(bundle / "configs" / name) for name in (*self.choice.layers(bundle), *last)]

    def overrides(self, bundle: Path) -> dict[str, Any]:
        """What every run of a bundle is given on its command line."""
        return {"bundle_root": bundle, **self.choice.overrides(bundle, self.task.name)}

    def train(self, what: str, bundle: Path, run: str, steps: int, section: str, **more: Any) -> float:
        """Train on a section for at least ``steps`` optimizer steps; returns the seconds."""
        files = self.files(bundle)
        batch = ConfigParser(ConfigParser.load_config_files(files)).get_parsed_content("batch_size")
        epochs = epochs_for(steps, len(self.task.items(section)), batch)
        schedule = {"epochs": epochs, "val_interval": max(1, epochs // VALIDATIONS)}
        return run_bundle(what, files, **self._placed(bundle, run), **schedule, **more)

    def evaluate(self, what: str, bundle: Path, run: str, **more: Any) -> None:
        """Score a run's weights."""
        run_bundle(what, self.files(bundle, "train.yaml", "evaluate.yaml"), **self._placed(bundle, run), **more)

    def segment(self, case: dict[str, Any]) -> None:
        """Segment one volume that no run has trained on, with the fine-tuned weights."""
        bundle = self.task.segment
        run_bundle(
            "inference on a new volume",
            self.files(bundle, "inference.yaml"),
            **self.overrides(bundle),
            dataset_dir=self.task.dataset_dir / case["image"],
            weights=self.out / "finetuned" / "model.pt",
            output_dir=self.out / "segmentation",
        )

    def _placed(self, bundle: Path, run: str) -> dict[str, Any]:
        place = {"ckpt_dir": self.out / run, "output_dir": self.out / run}
        return {"dataset_dir": self.task.dataset_dir, "seed": self.seed, **self.overrides(bundle), **place}


def epochs_for(steps: int, volumes: int, batch: int) -> int:
    """Epochs that give at least ``steps`` optimizer steps."""
    return max(VALIDATIONS, -(-steps // max(1, volumes // batch)))


def start_folder(out: Path, overwrite: bool, dataset_dir: str | None) -> None:
    """Make an empty ``out`` with the marker in it; what another program left there is never deleted."""
    if out.exists() and not out.is_dir():
        raise SystemExit(f"error: {out} is a file; give another --out")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise SystemExit(f"error: {out} is not empty; give another --out, or --overwrite to replace it")
        if not (out / MARKER).is_file():
            raise SystemExit(f"error: {out} was not made by the quick start (no {MARKER} in it): not overwritten")
        if dataset_dir is not None and Path(dataset_dir).resolve().is_relative_to(out):
            raise SystemExit(f"error: --dataset_dir {dataset_dir} lies in {out}, which --overwrite would delete")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("made by ci/quickstart.py, whose --overwrite deletes this folder\n")


def main() -> None:
    """Run every step."""
    arguments, choice = parse()
    out = Path(arguments.out).resolve()
    start_folder(out, arguments.overwrite, arguments.dataset_dir)
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    task = prepare(arguments, out)
    held_out = held_out_section(task)
    seconds["data"] = time.perf_counter() - start
    wanted = [max(1, int(number * arguments.budget)) for number in STEPS]
    steps, method = Steps(task, choice, out, arguments.seed), choice.method

    # Validation volumes are never trained on, so pretraining may be validated on their images too.
    what = f"pretraining ({method.title}, {choice.backbone})"
    seconds["pretraining"] = steps.train(what, method.bundle, "pretrain", wanted[0], "unlabelled")
    steps.evaluate("pretext scores", method.bundle, "pretrain")
    for run, weights in (("scratch", {}), ("finetuned", {"pretrained": out / "pretrain" / "model.pt"})):
        what = f"segmentation, {run}"
        seconds[run] = steps.train(what, task.segment, run, wanted[1], "training", **weights)
        steps.evaluate(f"evaluation, {run}", task.segment, run, evaluate_section=held_out)
    case = task.items(held_out)[0]
    if isinstance(case["image"], str):  # inference.yaml reads one file per volume
        steps.segment(case)
    seconds["all"] = time.perf_counter() - start
    report = write_report(out, task.name, task.dataset_dir, case, arguments.seed, seconds, choice)
    print(f"\nreport: {report}")


if __name__ == "__main__":
    main()
