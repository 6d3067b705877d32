"""The folder of a run: what it holds, and that its config is the one that ran."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from custom_components.checks import RunRecord
from custom_components.checks.run_record import resolved_config

MAIN = "/site-packages/monai/bundle/__main__.py"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    before, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        handler.close()
    logging.getLogger().setLevel(level)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "a.yaml").write_text("epochs: 3\nnet: {width: 4, depth: [1, 2]}\nname: first\n")
    (tmp_path / "b.yaml").write_text("name: second\nnet#width: 8\n")
    files = f"['{tmp_path}/a.yaml','{tmp_path}/b.yaml']"
    options = [
        "--config_file",
        files,
        "--epochs",
        "5",
        "--net#depth#1",
        "7",
        "--bundle_root=here",
        "--name",
        "x y",
    ]
    return [MAIN, "run", *options]


def test_the_config_is_that_of_all_files_and_of_the_command_line(command: list[str]) -> None:
    expected = {"epochs": 5, "net": {"width": 8, "depth": [1, 7]}, "name": "x y", "bundle_root": "here"}
    assert resolved_config(command) == expected
    assert resolved_config(["pytest", "--epochs", "5"]) is None


def test_each_run_has_a_folder_of_its_own_that_appears_complete(command: list[str], tmp_path: Path) -> None:
    logging.getLogger().setLevel(logging.INFO)
    folders = []
    for number in range(3):  # within one second
        folders.append(Path(RunRecord(str(tmp_path / "models"), command)() or ""))
        logging.getLogger("a.b").info("run %d", number)
    assert len(set(folders)) == 3
    assert sorted((tmp_path / "models" / "runs").iterdir()) == sorted(folders)
    for number, folder in enumerate(folders):
        assert yaml.safe_load((folder / "config.yaml").read_text()) == resolved_config(command)
        facts = json.loads((folder / "run.json").read_text())
        assert facts["command"].endswith("'x y'")
        assert {"commit", "versions", "machine", "written", "folder", "ranks"} < facts.keys()
        (line,) = (folder / "log.txt").read_text().splitlines()  # an earlier run's log is closed
        assert line.endswith(f"INFO - a.b - run {number}")


def test_another_rank_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert RunRecord(str(tmp_path / "models"))() is None
    assert not (tmp_path / "models").exists()


def test_a_log_on_a_full_disk_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    RunRecord(str(tmp_path), ["pytest"])()
    handler = logging.getLogger().handlers[-1]

    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handler, "stream", SimpleNamespace(write=full, flush=lambda: None, close=lambda: None))
    logging.getLogger("a").warning("text")
    assert "Traceback" not in capsys.readouterr().err
