"""A set with damaged files: ``mim3d check --full`` reports all of them, and training raises or skips."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mim3d.cli import main
from tests.robustness import damage_bytes, damage_voxels
from tests.robustness.damage import DAMAGES
from tests.robustness.dataset import CLASSES, LABELLED, UNLABELLED, label_of, write_dataset
from tests.robustness.reference import label_meaning, meaning
from tests.robustness.stages import pretrain, run_stage, train

#: Damages to the content of files; those to names change which files are cases.
CONTENT = sorted(
    name
    for name, (_, _, make) in DAMAGES.items()
    if make.__module__ in (damage_bytes.__name__, damage_voxels.__name__)
)

#: Damages that the project may refuse although the reader of the tests takes the file: geometry and units out of
#: range, and bytes behind the last voxel.
STRICTER = {"header_field", "header_units", "header_codes", "bytes_behind_the_end"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged six cases."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    write_dataset(folder)
    return folder


def write_set(whole: Path, data: Path, damages: dict[int, str], sets: int, seed: int) -> None:
    """Write copies of the six cases, ``set0/imagesTr/c0.nii.gz`` and so on, damage some, and list all."""
    sections: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "unlabelled": []}
    for number in range(sets):
        copy = data / f"set{number}"
        shutil.copytree(whole, copy)
        if number in damages:
            DAMAGES[damages[number]][2](np.random.default_rng([seed, number]), copy)
        labelled = [{"image": f"{copy.name}/{i}", "label": f"{copy.name}/{label_of(i)}"} for i in LABELLED]
        sections["validation" if number == sets - 1 else "training"] += labelled
        sections["unlabelled"] += [{"image": f"{copy.name}/{image}"} for image in UNLABELLED]
    classes = {"0": "background", "1": "anterior", "2": "posterior"}
    (data / "datalist.json").write_text(json.dumps({"channels": ["MRI"], "labels": classes, **sections}))


def must_be_refused(data: Path) -> set[str]:
    """The images of the cases that a reader of its own cannot use."""
    sections = json.loads((data / "datalist.json").read_text())
    bad = set()
    for item in (item for name in ("training", "validation", "unlabelled") for item in sections[name]):
        volume = meaning(data / item["image"])
        label = item.get("label")
        if volume is None or (label and label_meaning(data / label, volume, CLASSES) is None):
            bad.add(item["image"])
    return bad


def reported(path: Path) -> set[str]:
    """The images of the cases with an error in a table of findings; labels are named like their images."""
    with open(path, encoding="utf-8", newline="") as file:
        errors = [row["file"] for row in csv.DictReader(file) if row["level"] == "error"]
    return {file.replace("labelsTr", "imagesTr") for file in errors}


@pytest.mark.parametrize("seed", [0, 1])
def test_check_reports_exactly_the_cases_that_cannot_be_used(whole: Path, tmp_path: Path, seed: int) -> None:
    data = tmp_path / "data"
    write_set(whole, data, dict(enumerate(CONTENT)), len(CONTENT) + 1, seed)
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(data), "--full", "--out", str(tmp_path / "out.csv")])
    expected = must_be_refused(data)
    assert len(expected) >= 8
    assert expected <= reported(tmp_path / "out.csv")
    more = {name.split("/")[0] for name in reported(tmp_path / "out.csv") - expected}
    assert {CONTENT[int(name.removeprefix("set"))] for name in more} <= STRICTER


@pytest.mark.slow
def test_training_stops_before_the_first_step_or_goes_on_without_the_damaged_cases(
    whole: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    damages = {1: "truncated", 3: "not_finite"}  # 2 of 48 cases
    write_set(whole, data, damages, 8, seed=3)
    bad = must_be_refused(data)
    assert len(bad) == 2
    end = run_stage("training", lambda: train(data, tmp_path / "raise", intensity_volumes=None))
    assert end.refusal is not None
    assert any(Path(name).name.split(".")[0] in end.refusal for name in bad)
    assert not (tmp_path / "raise" / "models").exists()
    end = run_stage("training", lambda: train(data, tmp_path / "skip", on_bad_case="skip"))
    assert (end.refusal, end.trace) == (None, "")
    listed = json.loads((tmp_path / "skip" / "models" / "bad_cases.json").read_text())["left_out"]
    files = {str(Path(entry["file"]).relative_to(data)).replace("labelsTr", "imagesTr") for entry in listed}
    assert files == {name for name in bad if "imagesTr" in name}
    assert f"warning: {len(files)} of 32 cases are left out" in end.output
    assert (tmp_path / "skip" / "models" / "model.pt").is_file()
    end = run_stage("pretraining", lambda: pretrain(data, tmp_path / "skip", on_bad_case="skip"))
    assert (end.refusal, end.trace) == (None, "")
    assert "warning: 2 of 48 cases are left out" in end.output
