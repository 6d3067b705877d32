"""Label settings, the data list's numbers, and label files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks import LabelFiles, LabelSettings, LabelSource
from custom_components.data import DataList

NAMES = ["background", "core", "edema"]
SOURCES = {"first": [1, 2], "second": [2, 1], "third": [2, 4]}


def test_settings_that_fit_pass() -> None:
    LabelSettings(NAMES)()
    LabelSettings(NAMES, [1, 0, 2], {"all": [1, 2]}, largest_component=[2])()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_ratios": [1, 2]}, "crop_ratios is [1, 2]; allowed: null, or 3 numbers"),
        ({"crop_ratios": [1, -1, 1]}, "crop_ratios is [1, -1, 1]"),
        ({"crop_ratios": [0, 0, 0]}, "crop_ratios is [0, 0, 0]"),
        ({"regions": {"core": [5]}}, "region 'core' has class 5; allowed: 1 to 2"),
        ({"largest_component": [1, 7]}, "largest_component is [1, 7]; allowed: null, or values 1 to 2"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LabelSettings(NAMES, **settings)()


def listed(folder: Path, labels: dict[str, Any]) -> DataList:
    (folder / "datalist.json").write_text(json.dumps({"labels": labels, "training": []}), encoding="utf-8")
    return DataList(folder)


@pytest.mark.parametrize("source", ["fourth", None])
def test_an_unknown_source_is_named(source: str | None) -> None:
    with pytest.raises(ValueError, match=f"label_source is {source!r}; allowed: first, second, third"):
        LabelSource(DataList(""), NAMES, source, SOURCES)()


@pytest.mark.parametrize(
    "labels",
    [{}, {"1": "Core", "2": "Edema"}, {"1": "cancer"}, {"core": 1, "edema": 2}, {"whole": [1, 2], "edema": 2}],
)
def test_lists_that_agree_or_say_nothing_pass(tmp_path: Path, labels: dict[str, Any]) -> None:
    LabelSource(listed(tmp_path, labels), NAMES)()
    LabelSource(DataList(""), NAMES)()


def test_a_list_with_another_number_for_a_class_is_refused(tmp_path: Path) -> None:
    data_list = listed(tmp_path, {"0": "background", "1": "edema", "2": "core"})
    with pytest.raises(ValueError, match="lists 'core' as 2; with label_source 'first' it is 1"):
        LabelSource(data_list, NAMES, "first", SOURCES)()
    with pytest.raises(ValueError, match="lists 'core' as 2; the config has it as 1"):
        LabelSource(data_list, NAMES)()
    LabelSource(data_list, NAMES, "second", SOURCES)()


def test_label_files_of_both_lists_are_read(folder: Path) -> None:
    items, validation = (DataList(folder).items(name) for name in ("training", "validation"))
    assert LabelFiles(items, NAMES, validation)() == "values 0 to 2"
    label = folder / "labels" / "c3.nii.gz"  # the validation case
    nib.save(nib.Nifti1Image(np.zeros((20, 18, 15), np.uint8), np.eye(4)), label)
    with pytest.raises(ValueError, match=r"c3.nii.gz has shape \(20, 18, 15\)"):
        LabelFiles(items, NAMES, validation)()
    LabelFiles(items, NAMES)()


def test_values_of_the_label_source_are_allowed_and_no_others(folder: Path) -> None:
    items = DataList(folder).items("training")
    for item in items:
        nib.save(nib.Nifti1Image(np.full((20, 18, 16), 4, np.uint8), np.eye(4)), item["label"])
    absent = "warning: no training case has value 2 in its label, so it cannot be learned"
    assert LabelFiles(items, NAMES, None, [4, 0, 2], "third")() == f"values 0, 2, 4 (third)\n{absent}"
    with pytest.raises(ValueError, match="values 4 .*allowed with label_source 'first': 0, 1, 2"):
        LabelFiles(items, NAMES, None, [0, 1, 2], "first")()
    with pytest.raises(ValueError, match="c0.nii.gz holds the values 4; allowed: whole numbers 0 to 2"):
        LabelFiles(items, NAMES)()


def paint(item: dict[str, str], *values: int) -> None:
    """Replace a label map by one with these values, each at least once."""
    label = np.resize(np.array(values, np.uint8), (20, 18, 16))
    nib.save(nib.Nifti1Image(label, np.eye(4)), item["label"])


def test_a_class_that_no_training_case_has_is_named_by_its_value_in_the_files(folder: Path) -> None:
    items, validation = (DataList(folder).items(name) for name in ("training", "validation"))
    for item in items:
        paint(item, 0, 2)
    expected = "values 0 to 2\nwarning: no training case has {} (value 1) in its label, so it cannot be learned"
    assert LabelFiles(items, NAMES, validation)() == expected.format("'core'")
    second = LabelFiles(items, NAMES, validation, [0, 1, 2], "second", SOURCES)()
    assert second == expected.format("'edema'").replace("0 to 2", "0 to 2 (second)")
    paint(items[0], 0, 1)
    assert LabelFiles(items, NAMES, validation)() == "values 0 to 2"


def test_labels_that_are_all_empty_are_refused_before_training_and_scored_by_evaluation(folder: Path) -> None:
    items, validation = (DataList(folder).items(name) for name in ("training", "validation"))
    paint(validation[0], 0)
    with pytest.raises(
        ValueError, match="all 1 validation labels are empty.*at least one validation case with 'core'"
    ):
        LabelFiles(items, NAMES, validation)()
    assert LabelFiles(validation, NAMES, for_training=False)() == "values 0 to 2"
    for item in items:
        paint(item, 0)
    with pytest.raises(ValueError, match=f"all 3 training labels are empty, such as {items[0]['label']}"):
        LabelFiles(items, NAMES)()
