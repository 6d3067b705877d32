"""Where a study's cases come from, and which data it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.study.data import StudyData
from mim3d.study.find_data import find_data
from mim3d.study.mistakes import StudyError
from mim3d.study.read import read_study

File = Callable[..., Path]


def find(file: Path, folder: Path | None, data: dict[str, Any], dry_run: bool = True) -> StudyData:
    study = read_study(file)
    object.__setattr__(study, "data", data)
    return find_data(study, folder, file.parent / "out", dry_run)


@pytest.fixture
def folder(tmp_path: Path, write_nifti: Callable[..., Path]) -> Path:
    """Six labelled cases in the decathlon's layout, without a list."""
    for number in range(6):
        write_nifti(tmp_path / "data" / "imagesTr" / f"a_{number}.nii.gz", (4, 4, 4))
        write_nifti(tmp_path / "data" / "labelsTr" / f"a_{number}.nii.gz", (4, 4, 4), label_classes=2)
    return tmp_path / "data"


def counts(data: StudyData) -> dict[str, int]:
    return {name: len(items) for name, items in data.sections.items()}


def test_sizes_draw_a_split_and_write_nothing(folder: Path, study_file: File) -> None:
    sizes = {"training": 2, "validation": 1, "test": 2}
    before = sorted(folder.rglob("*"))
    found = find(study_file(), folder, {"sizes": sizes, "seed": 5})
    assert counts(found) == {"unlabelled": 3, "training": 2, "validation": 1, "test": 2}
    assert found.source == "drawn with seed 5: 2 training, 1 validation, 2 test"
    assert found == find(study_file(), folder, {"sizes": sizes, "seed": 5})
    assert found.sections["test"] != find(study_file(), folder, {"sizes": sizes, "seed": 6}).sections["test"]
    assert sorted(folder.rglob("*")) == before


def test_the_folders_own_list_counts_before_sizes_and_the_studys_before_both(
    folder: Path, study_file: File
) -> None:
    def items(*numbers: int) -> list[dict[str, str]]:
        names = [f"a_{number}.nii.gz" for number in numbers]
        return [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"} for name in names]

    own = {
        "labels": {"0": "background", "1": "a"},
        "training": items(0, 1),
        "validation": items(2),
        "test": items(3),
    }
    (folder / "datalist.json").write_text(json.dumps(own))
    found = find(study_file(), folder, {"sizes": {"training": 1, "validation": 1, "test": 1}})
    assert (found.sections["test"], found.source) == (items(3), "datalist.json")
    file = study_file()
    (file.parent / "mine.json").write_text(json.dumps({**own, "test": items(4)}))
    assert find(file, folder, {"datalist": "mine.json"}).sections["test"] == items(4)
    (file.parent / "split.json").write_text(
        json.dumps({"training": ["a_0"], "validation": ["a_1"], "test": ["a_5"]})
    )
    assert find(file, folder, {"split": "split.json"}).sections["test"] == items(5)


def test_phantoms_are_planned_as_they_are_written(study_file: File, tmp_path: Path) -> None:
    phantoms = {
        "kind": "hippocampus_mri",
        "size": "tiny",
        "training": 1,
        "validation": 1,
        "test": 1,
        "unlabelled": 1,
    }
    planned, written = (find(study_file(), None, {"phantoms": phantoms}, dry_run=dry) for dry in (True, False))
    assert counts(planned) == counts(written) == dict.fromkeys(("unlabelled", "training", "validation", "test"), 1)
    assert planned.folder is None
    assert written.folder == (tmp_path / "out" / "data").resolve()
    (tmp_path / "out" / "data" / "datalist.json").unlink()  # the study was killed while it wrote them
    assert find(study_file(), None, {"phantoms": phantoms}, dry_run=False) == written


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the study has no data; give --dataset_dir, or data phantoms in the study"),
        ({"dataset_dir": "none"}, "data: "),
        ({"sizes": {"training": 0.5, "validation": 1, "test": 1}}, "data: sizes is {'training': 0.5, "),
        (
            {"sizes": {"training": 1, "validation": 1, "test": 0}},
            "data: there are no test cases; found 1 unlabelled,",
        ),
        ({"phantom": {}}, "'phantom' is not a key of data; did you mean phantoms?"),
        ({"phantoms": {"cases": 0}}, "data: no cases are asked for"),
    ],
)
def test_data_that_cannot_be_used_are_one_line(study_file: File, data: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as error:
        find(study_file(), None, data)
    assert any(line.startswith(f"tiny: {message}") for line in error.value.mistakes), error.value.mistakes


def test_a_test_case_among_the_unlabelled_is_refused(folder: Path, study_file: File) -> None:
    def item(number: int) -> dict[str, str]:
        return {"image": f"imagesTr/a_{number}.nii.gz", "label": f"labelsTr/a_{number}.nii.gz"}

    listed = {"training": [item(0)], "validation": [item(1)], "test": [item(2)], "unlabelled": [item(2)]}
    (folder / "datalist.json").write_text(json.dumps(listed))
    with pytest.raises(StudyError, match="in sections 'unlabelled' and 'test'"):
        find(study_file(), folder, {})
    lost = {**listed, "unlabelled": [{"image": "imagesTr/lost.nii.gz"}]}
    (folder / "datalist.json").write_text(json.dumps(lost))
    with pytest.raises(StudyError, match="lost.nii.gz does not exist; .*datalist.json names it as image"):
        find(study_file(), folder, {})
    bare = {**listed, "unlabelled": [], "test": [{"image": "imagesTr/a_2.nii.gz"}]}
    (folder / "datalist.json").write_text(json.dumps(bare))
    with pytest.raises(StudyError, match="1 test cases have no label, first imagesTr/a_2.nii.gz"):
        find(study_file(), folder, {})
