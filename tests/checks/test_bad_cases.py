"""Bad cases are left out on every rank alike, and listed; with ``raise`` nothing is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks import BadCases, BadCasesFile, Preflight
from custom_components.data import DataList
from tests.ranks import run_ranks

NAMES = ["background", "one", "two"]


def checked(data: DataList, on_bad_case: str = "skip", **changes: Any) -> BadCases:
    training, validation = data.section("training"), data.section("validation")
    return BadCases(data, training, validation, on_bad_case, ["CT"], label_names=NAMES, **changes)


def damage(folder: Path) -> None:
    """A cut image, a label with a foreign value; the cases c0 and c2."""
    image = folder / "images" / "c0.nii.gz"
    image.write_bytes(image.read_bytes()[:-20])
    nib.save(nib.Nifti1Image(np.full((20, 18, 16), 7, np.uint8), np.eye(4)), folder / "labels" / "c2.nii.gz")


def names(data: DataList, section: str) -> list[str]:
    return [Path(item["image"]).name for item in data.section(section)]


def test_bad_cases_leave_every_section_and_the_others_keep_their_number(folder: Path, tmp_path: Path) -> None:
    before = {item["image"]: item["volume_id"] for item in DataList(folder).items(["training", "unlabelled"])}
    damage(folder)
    data = DataList(folder, require_label=True)
    assert len(names(data, "training")) == 3  # a section that was read before follows
    check = checked(data)
    message = check()
    assert message is not None
    assert message.startswith("warning: 2 of 4 cases are left out")
    assert names(data, "training") == ["c1.nii.gz"]
    assert names(data, "validation") == ["c3.nii.gz"]
    kept = DataList.items(data, "training")
    assert [item["volume_id"] for item in kept] == [before[kept[0]["image"]]]
    BadCasesFile(check, str(tmp_path))()
    listed = json.loads((tmp_path / "bad_cases.json").read_text())["left_out"]
    assert [Path(entry["file"]).relative_to(folder).as_posix() for entry in listed] == [
        "images/c0.nii.gz",
        "labels/c2.nii.gz",
    ]
    assert listed[1]["why"] == "holds the values 7; allowed: whole numbers 0 to 2"


def test_a_missing_file_is_a_bad_case(folder: Path) -> None:
    (folder / "images" / "c1.nii.gz").unlink()
    data = DataList(folder, require_label=True)
    with pytest.raises(ValueError, match=r"c1.nii.gz does not exist; .*names it as image$"):
        data.items("training")
    assert "c1.nii.gz does not exist" in str(checked(data)())
    assert names(data, "training") == ["c0.nii.gz", "c2.nii.gz"]


def test_raise_reads_nothing_and_leaves_nothing_out(folder: Path) -> None:
    damage(folder)
    data = DataList(folder, require_label=True)
    assert checked(data, "raise")() is None
    assert len(names(data, "training")) == 3


def test_a_run_without_good_cases_and_an_unknown_value_are_refused(folder: Path) -> None:
    for case in range(3):
        (folder / "images" / f"c{case}.nii.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"all 3 cases are bad, the first because .*c0.nii.gz is empty"):
        checked(DataList(folder, require_label=True))()
    with pytest.raises(ValueError, match="on_bad_case is 'ignore'; allowed: raise, skip"):
        checked(DataList(folder), "ignore")()


def test_a_later_run_without_bad_cases_removes_the_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad_cases.json").write_text("{}")
    BadCasesFile(None, str(tmp_path))()
    assert (tmp_path / "bad_cases.json").is_file()
    check = checked(DataList(folder, require_label=True))
    assert check() == "none of 4"
    BadCasesFile(check, str(tmp_path))()
    assert not (tmp_path / "bad_cases.json").exists()


def _rank(rank: int, results: Path, folder: Path) -> None:
    data = DataList(folder, require_label=True)
    Preflight({"bad_cases": checked(data)})()
    (results / f"{rank}.json").write_text(json.dumps(names(data, "training")))


@pytest.mark.slow
def test_every_rank_leaves_out_what_any_rank_found(folder: Path, tmp_path: Path) -> None:
    for case in range(2):  # rank 0 reads c0 and c2, rank 1 the other two
        (folder / "images" / f"c{case}.nii.gz").write_bytes(b"")
    run_ranks(_rank, tmp_path, folder)
    kept = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert kept == [["c2.nii.gz"], ["c2.nii.gz"]]
