"""Pretraining as a user runs it: a bundle's configs as a command, and what the run logged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.forked import run_module

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
Result = subprocess.CompletedProcess[str]
Command = Callable[..., Result]


def launch(bundle: str, files: list[str], ranks: int = 1, **keys: Any) -> Result:
    """The command, in float32, with one thread, without a GPU; files are those of the bundle, or absolute."""
    folder = BUNDLES / bundle
    named = str([str(folder / "configs" / file) for file in files])
    words = ["run", "--config_file", named, "--bundle_root", str(folder)]
    for key, value in {"amp": False, **keys}.items():
        words += [f"--{key}", str(value)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    if ranks == 1:
        status, output = run_module("monai.bundle", words, ROOT, env, timeout=300)
        return Result(words, status, stdout="", stderr=output)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    command += ["-m", "monai.bundle", *words]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def scalars(folder: Path) -> dict[str, list[float]]:
    """Every TensorBoard scalar of a run, in order."""
    found: dict[str, list[float]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend(event.value for event in events.Scalars(tag))
    return found
