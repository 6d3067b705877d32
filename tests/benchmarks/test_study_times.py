"""The estimated times of the shipped studies, and the page that states them."""

from __future__ import annotations

import pytest

from mim3d.catalog import ROOT
from mim3d.commands.study import CPU_SETS, QUESTIONS
from mim3d.study.progress import clock
from tests.benchmarks.results import read

STUDIES = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def time_of(name: str) -> str:
    return clock(60 * read("study_times.json")["studies"][name]["minutes"])


def test_every_study_for_a_cpu_has_a_time(load_script) -> None:
    assert list(read("study_times.json")["studies"]) == load_script("study_times").names()


@pytest.mark.parametrize("name", ["hippocampus_methods", "hippocampus_long", "phantoms_decoder", "brain_tumours"])
def test_the_runs_of_an_estimate_are_those_of_the_study(load_script, monkeypatch, name: str) -> None:
    module = load_script("study_times")
    monkeypatch.setattr(module, "expected_seconds", lambda plan, runs, slots: {run.digest: 30.0 for run in runs})
    found, stated = module.estimate(name), read("study_times.json")["studies"][name]
    assert {key: found[key] for key in found if key != "minutes"} == {
        key: stated[key] for key in stated if key != "minutes"
    }
    least = (found["pretrainings"] + found["trainings"] + found["tests"]) / 2 * 30 / 60 - 1
    assert least <= found["minutes"], "two at a time, one waits for the other"


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_times_of_a_question_are_stated(question: str) -> None:
    cells = [f"| {time_of(f'{data}_{question}')} " for data in CPU_SETS]
    row = next(line for line in STUDIES.splitlines() if line.startswith(f"| `{question}` "))
    assert row.endswith(f"{''.join(cells)}|")


def test_the_times_of_the_other_studies_are_stated() -> None:
    names = read("study_times.json")["studies"]
    for name in names:
        if not any(name == f"{data}_{question}" for data in CPU_SETS for question in QUESTIONS):
            row = next(line for line in STUDIES.splitlines() if line.startswith(f"| `{name}` "))
            assert row.endswith(f"| {time_of(name)} |")
