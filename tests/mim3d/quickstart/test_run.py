"""The quick start around its study: what it deletes, when it stops, and what it says about learning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mim3d.catalog import ROOT
from mim3d.quickstart import run
from mim3d.quickstart.run import judge, remove_earlier, study_arguments
from mim3d.study.devices import make_slots
from mim3d.study.folder import open_folder


def test_overwrite_deletes_only_the_folder_of_a_quick_start(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with open_folder(tmp_path / "study", "methods"):
        pass
    for other in ("mine", "study"):
        with pytest.raises(ValueError, match=f"{other} was not made by the quick start"):
            remove_earlier(tmp_path / other, None)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with open_folder(tmp_path / "quick", "quickstart"):
        pass
    remove_earlier(tmp_path / "quick", None)
    remove_earlier(tmp_path / "quick", None)  # there is none
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "study"]


def test_overwrite_keeps_the_data_that_the_run_is_about(tmp_path: Path) -> None:
    with open_folder(tmp_path / "out", "quickstart"):
        (tmp_path / "out" / "data").mkdir()
    with pytest.raises(ValueError, match="--dataset_dir .* lies in .*, which --overwrite would delete"):
        remove_earlier(tmp_path / "out", tmp_path / "out" / "data")
    assert (tmp_path / "out" / "data").is_dir()


@pytest.mark.parametrize(
    ("cores", "slots"), [(1, [(0,)]), (2, [(0,), (1,)]), (8, [(0, 1), (2, 3), (4, 5), (6, 7)])]
)
def test_there_is_a_pinned_run_on_each_core_up_to_the_four_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, slots: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(run.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("mim3d.study.devices.available_cores", lambda: list(range(cores)))
    monkeypatch.setattr(run, "available_cores", lambda: list(range(cores)))
    arguments = study_arguments(tmp_path)
    assert [slot.cores for slot in make_slots(["cpu"], arguments.parallel)] == slots


def scored(*dice: float | None) -> Any:
    """Results of so many runs of one arm with a seed each, with two classes that are equally good."""
    return SimpleNamespace(
        all=[
            SimpleNamespace(
                cell=SimpleNamespace(arm=SimpleNamespace(identity="scratch"), labels=2, steps=5),
                training=SimpleNamespace(title=f"run {number}"),
                summary={"all": {"dice_mean": value}, "classes": {"a": {"dice_mean": value}}},
            )
            for number, value in enumerate(dice)
        ]
    )


def test_a_run_that_learned_nothing_is_an_error_unless_the_budget_is_small(
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge(scored(0.5, 0.6), 1.0)
    assert capsys.readouterr().out == ""
    for nothing in (0.0, None):
        with pytest.raises(ValueError, match="^run 1: it learned nothing"):
            judge(scored(0.5, nothing), 1.0)
    judge(scored(0.05, 0.0), 0.5)
    assert "warning: no run learned a;" in capsys.readouterr().out


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
    ended = subprocess.run(line, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == status
    assert message in ended.stdout + ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["python"]
