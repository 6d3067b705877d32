"""A study over the folds of `mim3d datalist --folds`: each seed trains and validates on its own list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.datasets.prepare import prepare_folds
from mim3d.study.find_data import find_data
from mim3d.study.mistakes import StudyError
from mim3d.study.plan import Plan, make_plan
from mim3d.study.read import read_study

FOLDS = [f"datalist_fold{k}.json" for k in range(3)]


@pytest.fixture
def folder(tmp_path: Path, write_nifti: Callable[..., Path]) -> Path:
    """Ten labelled cases of nine subjects, three unlabelled images, and the lists of three folds."""
    for name in [*(f"a{number}" for number in range(8)), "b_visit1", "b_visit2"]:
        write_nifti(tmp_path / "data" / "imagesTr" / f"{name}.nii.gz", (4, 4, 4))
        write_nifti(tmp_path / "data" / "labelsTr" / f"{name}.nii.gz", (4, 4, 4), label_classes=2)
    for number in range(3):
        write_nifti(tmp_path / "data" / "imagesTr" / f"more{number}.nii.gz", (4, 4, 4))
    prepare_folds(tmp_path / "data", 3, test=1)
    return tmp_path / "data"


@pytest.fixture
def plan(folder: Path, study_file: Callable[..., Path]) -> Callable[..., Plan]:
    """``plan(folds=[...], grid={...})``: the plan of a study over these lists."""

    def make(folds: Any = FOLDS, data: dict[str, Any] | None = None, **changed: Any) -> Plan:
        file = study_file(**{"grid": {"labels": ["all"], "seed": [0, 1, 2]}} | changed)
        study = read_study(file)
        object.__setattr__(study, "data", {"folds": folds, **(data or {})})
        return make_plan(study, find_data(study, folder, file.parent / "out", True), file.parent / "out")

    return make


def images(text: str, section: str) -> set[str]:
    return {item["image"] for item in json.loads(text)[section]}


def test_each_seed_trains_and_validates_on_its_own_list(plan: Callable[..., Plan], folder: Path) -> None:
    data = plan().data
    assert data.pool == min(len(json.loads((folder / name).read_text())["training"]) for name in FOLDS)
    everywhere: list[str] = []
    for seed, name in enumerate(FOLDS):
        text, own = data.segmentation_list(data.count("all"), seed), (folder / name).read_text()
        assert images(text, "training") <= images(own, "training")
        assert len(images(text, "training")) == data.pool
        assert images(text, "validation") == images(own, "validation")
        assert images(text, "test") == images((folder / FOLDS[0]).read_text(), "test")
        assert images(text, "training").isdisjoint(images(text, "validation") | images(text, "test"))
        everywhere += sorted(images(text, "validation"))
    assert len(everywhere) == len(set(everywhere))
    assert set(everywhere) | images(text, "test") == {
        f"imagesTr/{name}.nii.gz" for name in [*(f"a{number}" for number in range(8)), "b_visit1", "b_visit2"]
    }


def test_pretraining_sees_what_is_unlabelled_in_every_list(plan: Callable[..., Plan]) -> None:
    text = plan().data.pretraining_list()
    assert images(text, "unlabelled") == {f"imagesTr/more{number}.nii.gz" for number in range(3)}


def test_the_lists_are_named_in_the_report(plan: Callable[..., Plan]) -> None:
    assert plan().data.source == f"3 folds, one for each seed: {', '.join(FOLDS)}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"folds": FOLDS[:1]}, "data: folds names 1 lists; allowed: two or more"),
        ({"folds": []}, "data: folds names 0 lists; allowed: two or more"),
        ({"data": {"phantoms": {"cases": 4}}}, "data has both phantoms and folds; allowed: one of them"),
        ({"folds": FOLDS[0]}, "data: folds is 'datalist_fold0.json'; allowed: a list of the files"),
        ({"folds": [*FOLDS, "none.json"]}, "data: none.json does not exist beside the study file or in "),
        ({"folds": [*FOLDS, FOLDS[0]]}, "data: folds: 4 cases are in validation of several lists, "),
        ({"grid": {"labels": ["all"], "seed": [0, 3]}}, "grid seed has 3; there are 3 folds, with seeds from 0"),
        ({"grid": {"labels": [6], "seed": [0]}}, "grid labels has 6; there are 5 training cases"),
    ],
)
def test_folds_that_cannot_be_used_are_one_line(
    plan: Callable[..., Plan], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError) as error:
        plan(**changed)
    assert any(line.startswith(f"tiny: {message}") for line in error.value.mistakes), error.value.mistakes


def test_lists_with_other_test_cases_are_refused(plan: Callable[..., Plan], folder: Path) -> None:
    prepare_folds(folder, 3, test=2, out=folder / "other.json")
    with pytest.raises(StudyError, match=r"other_fold1\.json has other test cases, channels or labels"):
        plan(folds=[FOLDS[0], "other_fold1.json"])
