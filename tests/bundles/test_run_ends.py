"""How runs of shipped configs end: repeated, stopped, diverged; and what is on the disk then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from custom_components.faults import fault_in
from mim3d.phantoms import write_phantoms
from tests.bundles.commands import BUNDLES, ROOT

pytestmark = pytest.mark.slow
NAME = "seg_msd_hippocampus"
FILES = ["train.yaml", "smoke.yaml"]
SMALL: dict[str, Any] = {
    **{"spacing": [3.0, 3.0, 3.0], "roi_size": [32, 32, 32], "architecture#features": [4, 4, 8, 8, 16, 4]},
    **{"epochs": 1, "val_interval": 1, "num_samples": 1, "sanity_validate": False},
}
Run = Callable[..., ConfigWorkflow]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"training": 2, "validation": 1, "test": 0, "unlabelled": 4}
    folder = tmp_path_factory.mktemp("data") / "data"
    return write_phantoms(folder, "hippocampus_mri", size="tiny", progress=False, **counts).parent


def places(data: Path, out: Path) -> dict[str, str]:
    return {"dataset_dir": str(data), "ckpt_dir": str(out / "models"), "output_dir": str(out / "eval")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_a_repeated_run_leaves_the_first_ones_results_and_resume_and_overwrite_go_on(
    data: Path, run_bundle: Run, tmp_path: Path
) -> None:
    models, keys = tmp_path / "models", {**SMALL, **places(data, tmp_path)}
    run_bundle(NAME, FILES, **keys)
    first = contents(models)
    assert set(first) == {"model.pt", "model.card.json", "resume.pt"}
    with pytest.raises(SystemExit, match="holds the results of another run .model.pt, model.card.json, resume.pt"):
        run_bundle(NAME, FILES, **keys)
    with pytest.raises(SystemExit, match="spacing was .3.0, 3.0, 3.0. and is .2.5, 3.0, 3.0."):
        run_bundle(NAME, FILES, **{**keys, "resume": True, "epochs": 2, "spacing": [2.5, 3.0, 3.0]})
    assert contents(models) == first
    run_bundle(NAME, FILES, **{**keys, "resume": True, "epochs": 2})
    assert torch.load(models / "resume.pt", weights_only=True)["trainer"]["epoch"] == 2
    run_bundle(NAME, FILES, **{**keys, "overwrite": True, "seed": 1})
    assert torch.load(models / "resume.pt", weights_only=True)["trainer"]["epoch"] == 1
    assert contents(models)["model.pt"] != first["model.pt"]


@pytest.mark.parametrize("bundle", [NAME, "pretrain_simmim"])
def test_a_loss_that_is_not_finite_names_the_files_and_saves_nothing(
    data: Path, build_bundle: Run, tmp_path: Path, bundle: str
) -> None:
    keys = {**SMALL, **places(data, tmp_path)}
    if bundle != NAME:
        small = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
        keys |= {f"architecture#{key}": value for key, value in small.items()}
        keys |= {"patch_size": [16] * 3, "block_size": [16] * 3}
        del keys["architecture#features"], keys["sanity_validate"]
        files = ["train.yaml", "smoke.yaml", "task_msd_hippocampus.yaml"]
    else:
        files = FILES
    made = build_bundle(bundle, files, **keys)
    made.initialize()
    with torch.no_grad():  # the first step is already wrong
        next(made.parser.get_parsed_content("network_def").parameters()).fill_(float("nan"))
    with pytest.raises(RuntimeError) as error:  # MONAI's, around ours
        made.run()
    message = fault_in(error.value)
    section = "imagesTr" if bundle == NAME else "imagesUn"
    assert message is not None
    assert "epoch 1, iteration 1: " in message
    assert f", on crops of {data / section}" in message
    assert message.count(".nii.gz") == 2
    assert not list((tmp_path / "models").glob("*.pt"))


@pytest.mark.parametrize(("sent", "workers"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_stopped_command_says_how_to_go_on_and_leaves_no_process(
    data: Path, tmp_path: Path, sent: int, workers: int
) -> None:
    keys = {**SMALL, **places(data, tmp_path), "epochs": 1000, "num_workers": workers}
    command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", str(BUNDLES / NAME)]
    command += ["--config_file", str([str(BUNDLES / NAME / "configs" / file) for file in FILES])]
    command += [word for key, value in keys.items() for word in (f"--{key}", str(value))]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    log = (tmp_path / "log").open("w+", encoding="utf-8")
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    resume, end = tmp_path / "models" / "resume.pt", time.monotonic() + 120
    while not resume.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, sent)  # as a terminal or a scheduler does: workers get it too
    status = process.wait(60)
    log.seek(0)
    text = log.read()
    assert status == 128 + sent, text[-3000:]
    assert "Traceback" not in text
    last = text.strip().splitlines()[-1]
    epoch = torch.load(resume, weights_only=True)["trainer"]["epoch"]
    name = signal.Signals(sent).name
    assert last.startswith(f"stopped by {name}: {resume} holds the run after epoch {epoch} of 1000; ")
    assert "add --resume True" in last
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not [path.name for path in resume.parent.iterdir() if path.name.startswith(".")]
