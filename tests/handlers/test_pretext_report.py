"""The metrics file of an evaluation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ignite.engine import Engine, Events

from custom_components.handlers import PretextReport
from custom_components.transfer import file_sha256
from custom_components.transfer.cards import git_commit


def run(handler):
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: engine.state.metrics.update(val_b=0.5, val_a=1))
    handler.attach(engine)
    engine.run([0] * 3)
    return json.loads(handler.path.read_text())


def test_metrics_facts_and_provenance_are_written(tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    found = run(PretextReport(str(tmp_path / "eval" / "metrics.json"), str(weights), {"seed": 3}))
    assert found["metrics"] == {"val_a": 1.0, "val_b": 0.5}
    assert list(found["metrics"]) == ["val_a", "val_b"]
    assert found["batches"] == 3
    assert found["seed"] == 3
    assert found["weights_sha256"] == file_sha256(weights)
    assert {"versions", "commit", "machine", "written"} <= found.keys()
    assert set(found["machine"]) == {"system", "cpus", "gpu"}


def test_only_rank_zero_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    engine = Engine(lambda engine, batch: None)
    handler = PretextReport(str(tmp_path / "metrics.json"))
    handler(engine)
    assert not handler.path.exists()


def test_commit_says_whether_the_package_differs_from_it(tmp_path, monkeypatch):
    package = tmp_path / "custom_components" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(Path(tmp_path).parent))
    assert git_commit(package.parent, ".") is None

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    head = git("rev-parse", "HEAD")
    (tmp_path / "notes.txt").write_text("outside the package")
    assert git_commit(package.parent, ".") == head
    package.write_text("changed = True\n")
    assert git_commit(package.parent, ".") == f"{head}+changes"


def test_without_weights_their_sha_is_not_recorded(tmp_path):
    assert run(PretextReport(str(tmp_path / "metrics.json")))["weights_sha256"] is None


def test_the_curve_of_the_training_is_part_of_the_report(tmp_path):
    curve = tmp_path / "validation_curve.csv"
    curve.write_text("epoch,val_loss,val_probe_dice\n5,2.0,\n10,1.0,0.5\n")
    found = run(PretextReport(str(tmp_path / "metrics.json"), curve=str(curve)))
    assert found["validations"] == [
        {"epoch": 5, "val_loss": 2.0, "val_probe_dice": None},
        {"epoch": 10, "val_loss": 1.0, "val_probe_dice": 0.5},
    ]
    without = PretextReport(str(tmp_path / "metrics.json"), curve=str(tmp_path / "none.csv"))
    assert run(without)["validations"] == []


def test_missing_weights_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match="model.pt"):
        run(PretextReport(str(tmp_path / "metrics.json"), str(tmp_path / "model.pt")))
