"""How tests of bundles build and run shipped configs: in this process where one is enough, else under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

ROOT = Path(__file__).resolve().parents[2]


def _build(bundle: str, files: list[str], **override: Any) -> ConfigWorkflow:
    folder = ROOT / "bundles" / bundle
    configs = [str(folder / "configs" / file) for file in files]  # an absolute file stays itself
    kind = "infer" if files[0] == "inference.yaml" else "train"
    override = {"bundle_root": str(folder), "device": torch.device("cpu"), "amp": False, **override}
    return ConfigWorkflow(configs, workflow_type=kind, logging_file=False, **override)


def _run(bundle: str, files: list[str], **override: Any) -> ConfigWorkflow:
    made = _build(bundle, files, **override)
    made.initialize()
    made.run()
    made.finalize()
    return made


def _torchrun(bundle: str, files: list[str], processes: int = 2, **override: Any) -> None:
    folder = ROOT / "bundles" / bundle
    named = "[" + ",".join(f"'{folder / 'configs' / file}'" for file in files) + "]"
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    line += ["-m", "monai.bundle", "run", "--config_file", named, "--bundle_root", str(folder)]
    line += [text for key, value in override.items() for text in (f"--{key}", str(value))]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(line, capture_output=True, encoding="utf-8", timeout=240, env=env, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


@pytest.fixture(scope="session")
def build_bundle() -> Callable[..., ConfigWorkflow]:
    """``build_bundle("seg_btcv", ["train.yaml", "smoke.yaml"], key=value)``: a workflow, not initialised."""
    return _build


@pytest.fixture(scope="session")
def run_bundle() -> Callable[..., ConfigWorkflow]:
    """The same, run to its end."""
    return _run


@pytest.fixture(scope="session")
def torchrun_bundle() -> Callable[..., None]:
    """The same as a command, on several ranks over gloo; fails the test where the command fails."""
    return _torchrun


@pytest.fixture(scope="session")
def load() -> Callable[[Path], dict[str, Any]]:
    """``load(path)``: a file of tensors."""
    return lambda path: torch.load(path, weights_only=True)


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    """``same(first, second)``: equality of nested states, tensors bit by bit."""
    return _same
