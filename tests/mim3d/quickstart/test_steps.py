"""The quick start's own steps: what it deletes, when it stops, which runs it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.catalog import NETWORKS, ROOT, TASKS
from mim3d.cli import main
from mim3d.quickstart import steps
from mim3d.quickstart.choice import choose
from mim3d.quickstart.data import DataSet
from mim3d.quickstart.steps import MARKER, Steps, epochs_for, start_folder

Runs = list[tuple[str, list[str], dict[str, Any]]]


def test_overwrite_deletes_only_a_folder_that_the_quick_start_made(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"out was not made by the quick start \(no \.quickstart in it\)"):
        start_folder(tmp_path / "out", True, None)
    assert (tmp_path / "out" / "thesis.txt").exists()
    start_folder(tmp_path / "new", False, None)
    (tmp_path / "new" / "report.html").write_text("old")
    with pytest.raises(ValueError, match="is not empty"):
        start_folder(tmp_path / "new", False, None)
    start_folder(tmp_path / "new", True, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [MARKER]


def test_overwrite_keeps_the_data_that_the_run_is_about(tmp_path: Path) -> None:
    start_folder(tmp_path / "out", False, None)
    (tmp_path / "out" / "data").mkdir()
    with pytest.raises(ValueError, match="--dataset_dir .* lies in .*, which --overwrite would delete"):
        start_folder(tmp_path / "out", True, tmp_path / "out" / "data")
    assert (tmp_path / "out" / "data").is_dir()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runs]:
    """``started(*words, **counts)``: the runs on a list of so many cases, as (step, config files, overrides)."""

    def start(*words: str, **counts: int) -> Runs:
        runs: Runs = []
        monkeypatch.setattr(steps, "run_bundle", lambda step, files, **o: runs.append((step, files, o)) or 1.0)
        monkeypatch.setattr(steps, "write_report", lambda *given: given)
        sections = {
            name: [{"image": f"{name}{i}.nii", "label": f"{name}{i}_seg.nii"} for i in range(count)]
            for name, count in counts.items()
        }
        (tmp_path / "data").mkdir()
        content = {"labels": {"0": "background", "1": "a"}, "channels": ["CT"], **sections}
        (tmp_path / "data" / "datalist.json").write_text(json.dumps(content))
        main(["quickstart", "--dataset_dir", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *words])
        return runs

    return start


def test_nothing_is_trained_on_a_short_list(
    started: Callable[..., Runs], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        started(training=2)
    assert "no cases in validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--method mae --backbone swin_unetr", 2, "error: --method mae does not go with --backbone swin_unetr;"),
        ("--metod mae", 2, "unknown flag --metod; did you mean --method?"),
        ("--help", 0, "--backbone {basic_unet"),
    ],
)
def test_the_command_line_is_judged_before_anything_is_installed(
    tmp_path: Path, words: str, status: int, message: str
) -> None:
    # -S leaves out site-packages: a bare Python
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    (tmp_path / "python").chmod(0o755)
    environment = {**os.environ, "VENV": str(tmp_path / "venv"), "PYTHON": str(tmp_path / "python")}
    line = ["bash", str(ROOT / "ci" / "quickstart.sh"), *words.split(), "--out", str(tmp_path / "out")]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert message in ended.stdout + ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


def names(files: list[str]) -> tuple[str, list[str]]:
    """The bundle of the first file, and the names of all."""
    return Path(files[0]).parents[1].name, [Path(file).name for file in files]


def test_layers_come_in_their_order(started: Callable[..., Runs]) -> None:
    runs = started("--method", "simmim", "--backbone", "swin_unetr", training=2, validation=1, unlabelled=2)
    layers = ["smoke.yaml", "own.json", "swin_unetr.yaml"]
    pretrained = ("pretrain_simmim", ["train.yaml", *layers])
    scored = ("pretrain_simmim", ["train.yaml", *layers, "evaluate.yaml"])
    segmented = [("seg_btcv", ["train.yaml", *layers]), ("seg_btcv", ["train.yaml", *layers, "evaluate.yaml"])]
    inferred = ("seg_btcv", ["inference.yaml", *layers])
    assert [names(files) for _, files, _ in runs] == [pretrained, scored, *segmented, *segmented, inferred]


def test_the_layer_of_a_task_comes_after_smoke_and_before_the_network() -> None:
    data = DataSet("hippocampus", Path("data"), TASKS["msd_hippocampus"])
    choice = choose("simclr", "segresnet")
    files = Steps(data, choice, Path("out"), 0).files(choice.method.bundle)
    layers = ["train.yaml", "smoke.yaml", "task_msd_hippocampus.yaml", "segresnet.yaml"]
    assert names(files) == ("pretrain_simclr", layers)


def test_every_step_builds_the_same_network(started: Callable[..., Runs]) -> None:
    runs = started("--method", "mae", training=2, validation=1, unlabelled=2)
    assert len(runs) == 7
    for _, _, overrides in runs:
        assert NETWORKS["unetr"].small.items() <= overrides.items()
        assert overrides["spacing"] == [4.0, 4.0, 4.0]


def test_scratch_and_finetuned_differ_in_the_weights_alone(started: Callable[..., Runs], tmp_path: Path) -> None:
    runs = {step: overrides for step, _, overrides in started(training=2, validation=1, unlabelled=2)}
    scratch, tuned = runs["segmentation, scratch"], runs["segmentation, finetuned"]
    assert tuned.pop("pretrained") == tmp_path / "out" / "pretrain" / "model.pt"
    for key in ("ckpt_dir", "output_dir"):
        assert scratch.pop(key) != tuned.pop(key)
    assert scratch == tuned


@pytest.mark.parametrize(("method", "epochs"), [("hybridmim", 20), ("simclr", 40)])
def test_epochs_follow_from_the_batch_size_of_the_configs(
    started: Callable[..., Runs], method: str, epochs: int
) -> None:
    runs = started("--method", method, training=8, validation=2, unlabelled=16)
    assert runs[0][2]["epochs"] == epochs  # 160 steps
    assert [overrides["epochs"] for step, _, overrides in runs if step.startswith("segmentation")] == [60, 60]


def test_epochs_are_enough_for_the_steps_and_for_a_curve() -> None:
    assert epochs_for(160, volumes=18, batch=2, validations=6) == 18
    assert epochs_for(10, volumes=20, batch=2, validations=6) == 6
    assert epochs_for(3, volumes=1, batch=2, validations=1) == 3


def test_a_small_budget_has_fewer_steps_and_validations(started: Callable[..., Runs]) -> None:
    runs = started("--budget", "0.05", training=2, validation=1, unlabelled=2)
    trained = [overrides for _, _, overrides in runs if "epochs" in overrides]
    assert [(keys["epochs"], keys["val_interval"]) for keys in trained] == [(8, 8), (12, 12), (12, 12)]
