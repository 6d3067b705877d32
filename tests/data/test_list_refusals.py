"""Data lists that are refused: damaged, incomplete, or without what is asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.data.list_files import load_datalist, touch, write_json


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"training": ["a.nii", 5]}, "an item of section 'training' is 5; allowed"),
        ({"training": [{"label": "a.nii"}]}, "an item of section 'training' has no 'image'"),
        ({"training": [{"image": ["a.nii", None]}]}, "has the image ['a.nii', None]; allowed: a path"),
        ({"training": [{"image": "a.nii", "label": 3}]}, "has the label 3; allowed: a path"),
        ({"training": [{"image": "a.nii"}], "labels": 3}, "labels is 3; allowed: names by number"),
        (
            {"training": [{"image": "a.nii"}], "labels": {"a": "b"}},
            "labels is {'a': 'b'}; allowed: names by number",
        ),
        ({"training": [{"image": "a.nii"}], "channels": 4}, "the channels are 4; allowed: a list of names"),
        ({"training": [{"image": "a.nii"}], "channels": {"x": "CT"}}, "allowed: names by number"),
        ({"training": [{"image": "a.nii"}], "subject_pattern": 1}, "subject_pattern is 1; allowed"),
        ({"training": [{"image": "a.nii"}], "subject_pattern": "("}, "'(' is not a regular expression"),
    ],
)
def test_a_damaged_list_is_one_clear_line(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    touch(tmp_path, "a.nii")
    write_json(tmp_path / "datalist.json", content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_datalist(tmp_path, "training")
    assert "datalist.json" in str(caught.value) or "subject_pattern" in str(caught.value)


def test_a_case_that_a_list_holds_twice_is_refused_where_it_is_listed(listed: Path) -> None:
    write_json(listed / "mine.json", {"training": [{"image": "a.nii"}, {"image": "a.nii"}]})
    with pytest.raises(ValueError, match="a.nii is twice in section 'training'"):
        load_datalist(listed, "training", datalist="mine.json")


def test_a_list_whose_unlabelled_is_empty_offers_none(listed: Path) -> None:
    content = json.loads((listed / "datalist.json").read_text())
    write_json(listed / "datalist.json", {**content, "unlabelled": []})
    with pytest.raises(ValueError, match="no cases in section 'unlabelled'"):
        load_datalist(listed, "unlabelled")


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'no'} does not exist")):
        load_datalist(tmp_path / "no", "training")
    with pytest.raises(ValueError, match=re.escape(f"no .nii or .nii.gz under {tmp_path}")):
        load_datalist(tmp_path, "unlabelled")


def test_unknown_section_lists_those_there(listed: Path) -> None:
    with pytest.raises(ValueError, match="section 'valid'; found .*'unlabelled': 3, 'training': 1"):
        load_datalist(listed, "valid")


def test_missing_files_are_named(listed: Path) -> None:
    (listed / "b.nii").unlink()
    with pytest.raises(ValueError, match="b.nii does not exist; .*datalist.json names it as image"):
        load_datalist(listed, "validation")
    with pytest.raises(ValueError, match="other.json does not exist"):
        load_datalist(listed, "validation", datalist="other.json")
    (listed / "datalist.json").write_text("{")
    with pytest.raises(ValueError, match="datalist.json is not readable as JSON"):
        load_datalist(listed, "validation")


def test_the_number_of_missing_files_is_in_the_message(listed: Path) -> None:
    for name in ("a.nii", "b.nii"):
        (listed / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"b.nii does not exist; .* \(2 of its 8 files are missing"):
        load_datalist(listed, "validation")
