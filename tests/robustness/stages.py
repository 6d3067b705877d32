"""The steps of a user's work, each in this process, and how each ended."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from monai.bundle import ConfigWorkflow

from custom_components.faults import fault_in
from mim3d import cli
from mim3d.catalog import BUNDLES

BUNDLE = BUNDLES / "seg_msd_hippocampus"
PRETRAINING = BUNDLES / "pretrain_hybridmim"
#: A network of 14 000 parameters, on crops that hold a whole volume.
TINY: dict[str, Any] = {
    "device": torch.device("cpu"),
    "amp": False,
    "architecture#features": [4, 4, 8, 8, 8, 4],
    "roi_size": [32, 48, 32],
    "num_workers": 0,
    "epochs": 1,
    "val_interval": 1,
    "sw_overlap": 0.25,
}


@dataclass(frozen=True)
class End:
    """How a stage ended.

    Attributes:
        stage: its name.
        refusal: the one line that ended it; None: it ended well.
        trace: the traceback of any other exception; empty if there was none.
        output: what it printed.
    """

    stage: str
    refusal: str | None
    trace: str
    output: str


def run_stage(stage: str, step: Callable[[], object]) -> End:
    """Call a step, and return how it ended; what it prints is kept."""
    refusal, trace = None, ""
    with _captured() as output:
        try:
            step()
        except SystemExit as ended:
            refusal = None if ended.code in (None, 0) else str(ended.code)
        except Exception as error:
            refusal = fault_in(error)
            trace = "" if refusal else "".join([*traceback.format_exception(error), _root(error)])
    text = output.getvalue()
    if refusal is not None and refusal.isdigit():  # a command prints its line, and ends with a number
        lines = [line for line in text.splitlines() if line.startswith("error:")]
        refusal = lines[-1] if lines else f"status {refusal}"
    if "Traceback (most recent call last)" in text:
        trace = trace or text[text.index("Traceback") :]
    return End(stage, refusal, trace, text)


def _root(error: BaseException) -> str:
    """Return the first exception of a chain in one line; MONAI puts several around it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({Path(place.filename).name}:{place.lineno})"


@contextlib.contextmanager
def _captured() -> Iterator[io.StringIO]:
    output = io.StringIO()
    root = logging.getLogger()
    handlers = root.handlers[:]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        root.handlers[:] = [logging.StreamHandler(output)]
        try:
            yield output
        finally:
            root.handlers[:] = handlers


def run_config(bundle: Path, files: list[str], **override: Any) -> None:
    """Run a bundle's configs to their end."""
    sys.argv = ["fuzz"]  # a check compares the command line with the config's keys
    configs = [str(bundle / "configs" / file) for file in files]
    kind = "infer" if files[0] == "inference.yaml" else "train"
    made = ConfigWorkflow(configs, workflow_type=kind, logging_file=False, bundle_root=str(bundle), **override)
    made.initialize()
    made.run()
    made.finalize()


def write_list(data: Path) -> None:
    """Write the data list: three cases to train on, one to validate on."""
    cli.main(["datalist", str(data), "--validation", "1"])


def train(data: Path, out: Path, **changes: Any) -> None:
    """Train for one epoch from scratch."""
    changed = {**TINY, "batch_size": 2, **changes}
    run_config(
        BUNDLE,
        ["train.yaml"],
        dataset_dir=str(data),
        ckpt_dir=str(out / "models"),
        output_dir=str(out / "log"),
        **changed,
    )


def pretrain(data: Path, out: Path, **changes: Any) -> None:
    """Pretrain for one epoch."""
    sizes = {"patch_size": [8, 8, 8], "region_size": [16, 16, 16], "window_size": [16, 48, 32]}
    files = ["train.yaml", "smoke.yaml", "task_msd_hippocampus.yaml"]
    run_config(
        PRETRAINING,
        files,
        dataset_dir=str(data),
        ckpt_dir=str(out / "pretrained"),
        output_dir=str(out / "pretrain_log"),
        **{k: v for k, v in TINY.items() if k != "sw_overlap"},
        **sizes,
        **changes,
    )


def evaluate(data: Path, weights: Path, out: Path) -> None:
    """Evaluate weights on the validation case."""
    run_config(
        BUNDLE,
        ["train.yaml", "evaluate.yaml"],
        dataset_dir=str(data),
        weights=str(weights),
        ckpt_dir=str(out / "none"),
        output_dir=str(out / "eval"),
        **TINY,
    )


def infer(images: Path, weights: Path, out: Path) -> None:
    """Segment a file, or all files of a folder."""
    keys = ("device", "amp", "architecture#features", "roi_size", "sw_overlap")
    if "segment" in cli.COMMANDS:
        words = [word for key in keys[2:] for word in (f"--{key}", str(TINY[key]).replace(" ", ""))]
        cli.main(["segment", str(BUNDLE), str(images), "--out", str(out), "--weights", str(weights), *words])
    else:
        chosen = {key: TINY[key] for key in keys}
        run_config(
            BUNDLE,
            ["inference.yaml"],
            dataset_dir=str(images),
            weights=str(weights),
            output_dir=str(out),
            **chosen,
        )


def limit_memory(gigabytes: float) -> None:
    """Let this process take no more memory than that besides what it has (a fork of a test process has much).

    So a wrong size is an error and no swapping.
    """
    import resource

    limit = psutil.Process().memory_info().vms + int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
