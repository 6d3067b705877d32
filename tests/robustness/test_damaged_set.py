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

#: What the progress bar of a run shows after its first step.
STEP = "epoch=1/1, loss="
#: Folder, bad cases, and those of them that have a label.
Damaged = tuple[Path, set[str], set[str]]


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


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def damaged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """A set of 60 cases of which 3 (5 %) are damaged."""
    data = tmp_path_factory.mktemp("damaged") / "data"
    write_set(whole, data, {1: "truncated", 3: "not_finite", 6: "truncated"}, 10, seed=3)
    bad = must_be_refused(data)
    labelled = {name for name in bad if "imagesTr" in name}
    assert (len(bad), len(labelled)) == (3, 2)
    return data, bad, labelled


@pytest.mark.slow
def test_check_reports_the_damaged_twentieth_of_a_set(damaged: Damaged, tmp_path: Path) -> None:
    data, bad, _ = damaged
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(data), "--full", "--out", str(tmp_path / "out.csv")])
    assert reported(tmp_path / "out.csv") == bad


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training", "pretraining"])
@pytest.mark.parametrize("intensity_volumes", [32, None])
def test_raise_ends_a_run_before_the_first_step(
    damaged: Damaged, tmp_path: Path, name: str, intensity_volumes: int | None
) -> None:
    """By default 32 images are read before the run; the others are read when memory is filled with them."""
    data, bad, labelled = damaged
    step, cases = (train, labelled) if name == "training" else (pretrain, bad)
    end = run_stage(name, lambda: step(data, tmp_path, intensity_volumes=intensity_volumes))
    assert end.refusal is not None, end.trace
    assert any(file in end.refusal for case in cases for file in (case, label_of(case)))
    assert STEP not in end.output
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training", "pretraining"])
def test_skip_goes_on_without_the_damaged_cases_and_lists_them(
    damaged: Damaged, tmp_path: Path, name: str
) -> None:
    data, bad, labelled = damaged
    step, cases, folder = (train, labelled, "models") if name == "training" else (pretrain, bad, "pretrained")
    end = run_stage(name, lambda: step(data, tmp_path, on_bad_case="skip"))
    assert (end.refusal, end.trace) == (None, "")
    assert STEP in end.output
    listed = json.loads((tmp_path / folder / "bad_cases.json").read_text(encoding="utf-8"))["left_out"]
    files = [str(Path(entry["file"]).relative_to(data)).replace("labelsTr", "imagesTr") for entry in listed]
    assert set(files) == cases
    assert f"warning: {len(cases)} of {40 if name == 'training' else 60} cases are left out" in end.output
    assert (tmp_path / folder / "model.pt").is_file()
