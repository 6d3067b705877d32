"""Shipped configs in this process or under torchrun, and the data that tests of several files run them on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from mim3d.phantoms import write_phantoms
from tests.bundles.btcv import write_cases
from tests.bundles.commands import Command, Result, launch
from tests.bundles.pretraining_runs import OWN, SMALL, TINY
from tests.bundles.segmentation_runs import TASKS, Folder

Run = Callable[..., ConfigWorkflow]
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
def build_bundle() -> Run:
    """``build_bundle("seg_btcv", ["train.yaml", "smoke.yaml"], key=value)``: a workflow, not initialised."""
    return _build


@pytest.fixture(scope="session")
def run_bundle() -> Run:
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


@pytest.fixture(scope="session")
def btcv_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small cases for seg_btcv, with their list."""
    folder = tmp_path_factory.mktemp("btcv")
    write_cases(folder)
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms to pretrain on, with labels and without."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms(folder, size="tiny", training=2, validation=2, test=2, unlabelled=4, progress=False)
    return folder


@pytest.fixture(scope="session")
def phantoms_of(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``phantoms_of(bundle)``: two phantoms to train on, one for validation, one to test, two without label."""

    @cache
    def make(name: str) -> Path:
        counts = {"training": 2, "validation": 1, "test": 1, "unlabelled": 2}
        folder = tmp_path_factory.mktemp(name) / "data"
        return write_phantoms(folder, TASKS[name].phantoms, size="tiny", progress=False, **counts).parent

    return make


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory, write_nifti: Callable[..., Path]) -> Path:
    """Four unlabelled volumes, of which `tiny` holds two out."""
    folder = tmp_path_factory.mktemp("volumes")
    for number in range(4):
        write_nifti(folder / f"case_{number}.nii.gz", (40, 36, 24), seed=number)
    return folder


@pytest.fixture(scope="session")
def pretrain_command(phantoms: Path) -> Command:
    """``pretrain_command(method, folder, layer, ..., ranks=1, ok=True, key=value)``: train.yaml as a command."""

    def make(method: str, folder: Path, *layers: str, ranks: int = 1, ok: bool = True, **keys: Any) -> Result:
        places = {"dataset_dir": phantoms, "output_dir": folder, "ckpt_dir": folder}
        sizes = {**TINY, **SMALL[method], **OWN[method], **places, **keys}
        result = launch(f"pretrain_{method}", ["train.yaml", "smoke.yaml", *layers], ranks, **sizes)
        assert not ok or result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return make


@pytest.fixture(scope="session")
def pretrain(phantoms: Path, run_bundle: Run) -> Run:
    """``pretrain(method, folder, layer, ..., key=value)``: train.yaml in this process."""

    def make(method: str, folder: Path, *layers: str, **keys: Any) -> ConfigWorkflow:
        places = {"dataset_dir": str(phantoms), "output_dir": str(folder), "ckpt_dir": str(folder)}
        files = ["train.yaml", "smoke.yaml", *layers]
        return run_bundle(
            f"pretrain_{method}", files, **{**TINY, **SMALL[method], **OWN[method], **places, **keys}
        )

    return make
