"""Channel names: spellings of one sequence are one, and another order is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components.data import DataList, check_channel_names
from custom_components.data.channels import sequence_of

WANTED = ["FLAIR", "T1", "T1ce", "T2"]


@pytest.mark.parametrize(
    "listed",
    [
        ["FLAIR", "T1w", "t1gd", "T2w"],  # MSD Task01
        ["t2f", "t1n", "t1c", "t2w"],  # BraTS 2023
        ["flair", "t1", "t1ce", "t2"],
        ["T2-FLAIR", "T1", "T1 post", "T2"],
        [],
        ["MRI"],  # one name for a 4D file's channels: counted, not compared
    ],
)
def test_spellings_of_the_same_sequences_pass(listed: list[str]) -> None:
    check_channel_names(listed, WANTED, "list.json")
    check_channel_names(WANTED, listed, "list.json")


def test_one_channel_is_named_loosely() -> None:
    check_channel_names(["MRI"], ["T1"], "list.json")
    check_channel_names(["T1"], ["CT"], "list.json")


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (
            ["T1", "T1ce", "T2", "FLAIR"],
            "lists the channels T1, T1ce, T2, FLAIR: in another order than FLAIR, T1, T1ce",
        ),
        (["FLAIR", "T1", "T2", "T1gd"], "in another order than"),
        (["FLAIR", "T1", "DWI", "T2"], "FLAIR, T1, DWI, T2: others than FLAIR, T1, T1ce, T2 expected"),
        (["T1", "T2"], "T1, T2: others than"),
    ],
)
def test_another_order_or_sequence_names_both_lists(listed: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=f"^list.json .*{words}"):
        check_channel_names(listed, WANTED, "list.json")


def test_unknown_names_are_compared_without_case() -> None:
    check_channel_names(["CT", "PET"], ["ct", "pet"], "list.json")
    assert sequence_of("CT") == "ct"
    with pytest.raises(ValueError, match="in another order"):
        check_channel_names(["PET", "CT"], ["CT", "PET"], "list.json")


def test_names_come_from_the_list_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"x")
    assert DataList("").channels == []
    assert DataList(tmp_path).channels == []
    task = {"modality": {"1": "T1w", "0": "FLAIR"}, "training": [{"image": "a.nii", "label": "a.nii"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(task))
    assert DataList(tmp_path).channels == ["FLAIR", "T1w"]
    (tmp_path / "datalist.json").write_text(json.dumps({"channels": ["T1"]}))
    assert DataList(tmp_path).channels == ["T1"]
    assert DataList(tmp_path, "dataset.json").channels == ["FLAIR", "T1w"]
    with pytest.raises(ValueError, match="no.json does not exist"):
        assert DataList(tmp_path, "no.json").channels
