"""The quick start's own steps: what it deletes, when it stops, what it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[2] / "ci"


@pytest.fixture
def quickstart(quick_start):
    return quick_start.quickstart


def test_overwrite_deletes_only_a_folder_that_the_quick_start_made(quickstart, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        SystemExit, match=r"^error: .*out was not made by the quick start \(no \.quickstart in it\)"
    ):
        quickstart.start_folder(tmp_path / "out", True, None)
    assert (tmp_path / "out" / "thesis.txt").exists()
    quickstart.start_folder(tmp_path / "new", False, None)
    (tmp_path / "new" / "report.html").write_text("old")
    with pytest.raises(SystemExit, match="is not empty"):
        quickstart.start_folder(tmp_path / "new", False, None)
    quickstart.start_folder(tmp_path / "new", True, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".quickstart"]


def test_overwrite_keeps_the_data_that_the_run_is_about(quickstart, tmp_path):
    quickstart.start_folder(tmp_path / "out", False, None)
    (tmp_path / "out" / "data").mkdir()
    with pytest.raises(SystemExit, match="error: --dataset_dir .* lies in .*, which --overwrite would delete"):
        quickstart.start_folder(tmp_path / "out", True, str(tmp_path / "out" / "data"))
    assert (tmp_path / "out" / "data").is_dir()


def listed(folder, **counts):
    """A folder with a list of cases whose files do not exist."""
    sections = {
        name: [{"image": f"{name}{i}.nii", "label": f"{name}{i}_seg.nii"} for i in range(count)]
        for name, count in counts.items()
    }
    folder.mkdir(parents=True)
    content = {"labels": {"0": "background", "1": "a"}, "channels": ["CT"], **sections}
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def started(quickstart, tmp_path, monkeypatch):
    """``started(*words, **counts)``: the steps on a list of so many cases, as (step, config files, overrides)."""

    def start(*words, **counts):
        runs = []
        monkeypatch.setattr(
            quickstart, "run_bundle", lambda what, files, **o: runs.append((what, files, o)) or 1.0
        )
        monkeypatch.setattr(quickstart, "write_report", lambda *given: given)
        folder = listed(tmp_path / "data", **counts)
        line = ["quickstart.py", "--dataset_dir", folder, "--out", tmp_path / "out", *words]
        monkeypatch.setattr(sys, "argv", [str(word) for word in line])
        quickstart.main()
        return runs

    return start


def test_nothing_is_trained_on_a_list_that_is_short(started, quickstart, monkeypatch):
    with pytest.raises(SystemExit, match="no cases in validation"):
        started(training=2)


def test_nothing_is_written_where_method_and_network_do_not_go_together(started, tmp_path):
    with pytest.raises(SystemExit, match="it goes with: unetr, unetr_patch8, swin_unetr$"):
        started("--method", "simmim", "--backbone", "basic_unet", training=2, validation=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("--method mae --backbone swin_unetr", 1, "error: --method mae does not go with --backbone swin_unetr;"),
        ("--metod mae", 2, "unrecognized arguments: --metod mae"),
        ("--budget 0", 2, "--budget is 0.0; allowed: numbers above 0"),
        ("--help", 0, "--backbone {basic_unet"),
    ],
)
def test_the_command_line_is_judged_before_anything_is_installed(tmp_path, words, status, told):
    environment = {**os.environ, "VENV": str(tmp_path / "venv"), "PYTHON": sys.executable}
    line = ["bash", str(CI / "quickstart.sh"), *words.split(), "--out", str(tmp_path / "out")]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == status
    assert told in ended.stdout + ended.stderr
    assert not list(tmp_path.iterdir())


def names(files):
    """File names, and the bundle of the first."""
    return Path(files[0]).parents[1].name, [Path(file).name for file in files]


def test_layers_come_in_their_order(started):
    words = ("--method", "simmim", "--backbone", "swin_unetr")
    runs = started(*words, training=2, validation=1, unlabelled=2)
    layers = ["smoke.yaml", "own.json", "swin_unetr.yaml"]
    pretrained = ("pretrain_simmim", ["train.yaml", *layers])
    scored = ("pretrain_simmim", ["train.yaml", *layers, "evaluate.yaml"])
    segmented = [("seg_btcv", ["train.yaml", *layers]), ("seg_btcv", ["train.yaml", *layers, "evaluate.yaml"])]
    inferred = ("seg_btcv", ["inference.yaml", *layers])
    assert [names(files) for _, files, _ in runs] == [pretrained, scored, *segmented, *segmented, inferred]


def test_layers_of_the_hippocampus_come_behind_smoke_and_before_the_network(quickstart):
    task = quickstart.Task("hippocampus", Path("data"), pretraining_layers=["task_msd_hippocampus.yaml"])
    _, choice = quickstart.parse(["--method", "simclr", "--backbone", "segresnet"])
    files = quickstart.Steps(task, choice, Path("out"), 0).files(choice.method.bundle)
    layers = ["train.yaml", "smoke.yaml", "task_msd_hippocampus.yaml", "segresnet.yaml"]
    assert names(files) == ("pretrain_simclr", layers)


def test_every_step_builds_the_same_network(started):
    runs = started("--method", "mae", training=2, validation=1, unlabelled=2)
    narrow = {
        "architecture#feature_size": 8,
        "architecture#hidden_size": 192,
        "architecture#mlp_dim": 768,
        "architecture#num_heads": 6,
    }
    for _, _, overrides in runs:
        assert narrow.items() <= overrides.items()


def test_scratch_and_finetuned_differ_in_the_weights_alone(started, tmp_path):
    runs = {what: overrides for what, _, overrides in started(training=2, validation=1, unlabelled=2)}
    scratch, tuned = runs["segmentation, scratch"], runs["segmentation, finetuned"]
    assert tuned.pop("pretrained") == tmp_path / "out" / "pretrain" / "model.pt"
    for key in ("ckpt_dir", "output_dir"):
        assert scratch.pop(key) != tuned.pop(key)
    assert scratch == tuned


@pytest.mark.parametrize(("method", "epochs"), [("hybridmim", 20), ("mae", 20), ("simmim", 20), ("simclr", 40)])
def test_epochs_follow_from_the_batch_size_of_the_configs(started, method, epochs):
    runs = started("--method", method, training=8, validation=2, unlabelled=16)
    assert runs[0][2]["epochs"] == epochs  # 160 steps
    assert [overrides["epochs"] for what, _, overrides in runs if what.startswith("segmentation")] == [60, 60]
