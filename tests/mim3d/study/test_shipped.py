"""The shipped studies: each has a plan, without data and before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mim3d.catalog import METHODS
from mim3d.cli import main
from mim3d.commands.study import CPU_SETS, QUESTIONS, STUDIES, find_study, shipped_studies
from mim3d.study.read import read_study

NAMES = shipped_studies()


def test_every_claim_has_its_study() -> None:
    for claim in QUESTIONS:
        assert {claim, *(f"{data}_{claim}" for data in CPU_SETS)} <= set(NAMES)
    files = {path.stem for path in STUDIES.glob("*.yaml") if not path.stem.startswith(("base_", "small_"))}
    assert files <= set(NAMES)
    text = "".join(path.read_text(encoding="utf-8") for path in STUDIES.glob("*.yaml"))
    assert all(name in text for name in METHODS)


# A question has the same plan on phantoms as on the hippocampus, but for its numbers.
PLANNED = [name for name in NAMES if not name.startswith("phantoms_") or name == "phantoms_methods"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNED)
def test_a_shipped_study_has_a_plan(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", name, "--out", str(tmp_path / "out"), "--dry_run", "--devices", "cpu"])
    printed = capsys.readouterr().out
    assert f"study {name}: seg_" in printed
    assert "\narm " in printed
    assert " -m monai.bundle run --config_file" in printed
    assert "\nruns: " in printed
    assert "\ntime: " in printed
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", "mask_ratios"])
    assert stopped.value.code == 2
    assert "there is no study 'mask_ratios'; give a file, or one of: brain_tumours, " in capsys.readouterr().err


@pytest.mark.parametrize("data", CPU_SETS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_on_a_data_set_has_the_keys_of_both(question: str, data: str) -> None:
    study, base = (read_study(*find_study(name)) for name in (f"{data}_{question}", f"base_{data}"))
    assert study.name == f"{data}_{question}"
    assert (study.task, study.data, study.small, study.both) == (base.task, base.data, True, base.both)
    full = read_study(*find_study(question))
    assert set(full.grid) <= {*study.grid, "backbone"}
    assert study.variants.keys() == full.variants.keys()
    assert study.about.endswith((".", "?"))


def test_a_question_can_be_asked_of_other_data(tmp_path: Path) -> None:
    (tmp_path / "knee_scans.yaml").write_text(
        "task: custom\nsmall: true\ndata: {datalist: mine.json}\ngrid: {labels: [7], steps: [30]}\n"
    )
    for question in ("small_mask_ratio", "mask_ratio", str(STUDIES / "small_mask_ratio.yaml")):
        study = read_study(*find_study(question, str(tmp_path / "knee_scans.yaml")))
        assert (study.name, study.folder) == ("knee_scans_mask_ratio", tmp_path)
        assert (study.task.name, study.grid["labels"], study.grid["steps"]) == ("custom", [7], [30])
        assert len(study.grid["pretraining#mask_ratio"]) >= 6
    assert read_study(*find_study("mask_ratio", "phantoms")).data["phantoms"]["kind"] == "abdomen_ct"


def test_a_mistake_in_the_other_data_names_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "knees.yaml").write_text("task: knee\ngrid: {steps: [30]}\n")
    with pytest.raises(SystemExit) as stopped:
        main(["study", "small_methods", "--on", str(tmp_path / "knees.yaml"), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("error: small_methods.yaml on knees.yaml: 'knee' is not a task")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["small_methods"],
            "study 'small_methods' names no data; add --on hippocampus, --on phantoms or --on FILE",
        ),
        (
            ["methods", "--on", "knees.yaml"],
            "--on knees.yaml is no file; give one, or one of: btcv, hippocampus, ",
        ),
        (["method", "--on", "phantoms"], "there is no study 'method'; give a file, or one of: brain_tumours, "),
    ],
)
def test_a_question_without_data_is_one_line(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", *given])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_mistakes_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("task: knee\nsmall: true\n")
    with pytest.raises(SystemExit) as stopped:
        main(["study", str(file), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "error: mine.yaml: 'knee' is not a task",
        "error: mine.yaml: grid has no steps",
    ]
    assert not (tmp_path / "out").exists()
