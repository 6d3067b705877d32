"""Study files: every mistake is one line, all are listed at once, and a base is merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.study.mistakes import StudyError
from mim3d.study.read import read_study

File = Callable[..., Path]


def mistakes(path: Path) -> list[str]:
    with pytest.raises(StudyError) as error:
        read_study(path)
    return error.value.mistakes


def test_all_mistakes_are_listed_at_once(study_file: File) -> None:
    grid = {"method": ["scratch", "hybridmin"], "labels": [2, -4, 1.5], "seed": [0, 0], "steps": ["many"]}
    found = mistakes(study_file(task="msd_hippocampos", smaller=True, grid={**grid, "colour": [1]}))
    starts = [
        "tiny.yaml: 'smaller' is not a key of the study; did you mean small? allowed: base,",
        "tiny.yaml: 'msd_hippocampos' is not a task; did you mean msd_hippocampus? allowed: btcv,",
        "tiny.yaml: grid seed has 0 twice; allowed: distinct values",
        "tiny.yaml: 'colour' is not an axis of grid; ",
        "tiny.yaml: 'hybridmin' is not a method; did you mean hybridmim? allowed: scratch,",
        "tiny.yaml: grid steps is 'many'; allowed: a whole number at least 1",
        "tiny.yaml: grid labels (a number of cases, a share with a dot, or all) is -4; allowed",
        "tiny.yaml: grid labels (a share of the training cases) is 1.5; allowed: a number above 0 and at most 1",
    ]
    assert [next((line for line in found if line.startswith(start)), start) for start in starts] == found


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"small": "yes"}, "small is 'yes'; allowed: true, false"),
        ({"validations": 0}, "validations is 0; allowed: a whole number at least 1"),
        ({"levels": [0.5, 70]}, "levels is 70; allowed: a number above 0 and below 1"),
        ({"grid": {"steps": []}}, "grid steps is empty; allowed: one value or more"),
        ({"pretraining": {"step": 8}}, "'step' is not a key of pretraining; did you mean steps?"),
        ({"pretraining": {"layers": "a.yaml"}}, "pretraining layers is 'a.yaml'; allowed: a list of file names"),
        ({"rates": {"scratch": ["fast"]}}, "rates scratch is 'fast'; allowed: a number above 0"),
        ({"rates": {"seeds": [7]}}, "rates seed has 7, which is not in grid seed [0, 1]"),
        ({"rates": {"labels": 3}}, "rates labels has 3, which is not in grid labels [2, 4]"),
        (
            {"variants": {"a": {"training": {}}}},
            "'training' is not a key of variants a; did you mean pretraining?",
        ),
        ({"grid": {"variant": ["b"]}}, "'b' is not a variant; allowed: none"),
        ({"methods": {"scratch": {}}}, "'scratch' is not a key of methods; "),
        ({"grid": [1]}, "grid is [1]; allowed: keys with values"),
    ],
)
def test_a_mistake_is_one_line(study_file: File, changed: dict[str, Any], message: str) -> None:
    found = mistakes(study_file(**changed))
    assert any(line.startswith(f"tiny.yaml: {message}") for line in found), found


def test_a_study_inherits_from_its_base(study_file: File, tmp_path: Path) -> None:
    study_file(about="The base.", grid={"seed": [3]})
    own = tmp_path / "own.yaml"
    own.write_text("base: tiny.yaml\nabout: The own.\ngrid: {labels: [1]}\n")
    study = read_study(own)
    assert (study.name, study.about, study.grid["labels"], study.grid["seed"]) == ("own", "The own.", [1], [3])


def test_a_later_base_wins_and_own_keys_come_last(study_file: File, tmp_path: Path) -> None:
    study_file(about="The first.", grid={"seed": [3], "labels": [1], "steps": [8]})
    (tmp_path / "question.yaml").write_text("about: The second.\ngrid: {labels: [2], steps: [9]}\n")
    own = tmp_path / "own.yaml"
    own.write_text("base: [tiny.yaml, question.yaml]\ngrid: {steps: [10]}\n")
    study = read_study(own)
    assert study.about == "The second."
    assert {axis: study.grid[axis] for axis in ("seed", "labels", "steps")} == {
        "seed": [3],
        "labels": [2],
        "steps": [10],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: own.yaml", "base: own.yaml is based on itself"),
        ("base: none.yaml", "cannot be read"),
        ("base: [none.yaml]", "none.yaml cannot be read"),
        ("a: [", "own.yaml is not YAML"),
        ("- a", "own.yaml holds list; allowed: keys with values"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    (line,) = mistakes(own)
    assert message in line
