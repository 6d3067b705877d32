from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet

from custom_components.checks.labels import check_label_settings, check_listed_labels
from custom_components.checks.schedule import check_resume
from custom_components.transfer import write_card
from custom_components.transfer.checks import compare_card

NAMES = ["background", "core", "edema"]
SOURCES = {"first": [1, 2], "second": [2, 4]}


def test_settings_that_fit_give_the_files_values() -> None:
    assert check_label_settings(NAMES) == [0, 1, 2]
    assert check_label_settings(NAMES, [1, 0, 2], {"all": [1, 2]}, largest_component=[2]) == [0, 1, 2]
    assert check_label_settings(NAMES, label_source="second", label_sources=SOURCES) == [0, 2, 4]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"crop_ratios": [1, 2]}, "crop_ratios is [1, 2]; allowed: null, or 3 numbers"),
        ({"crop_ratios": [1, -1, 1]}, "crop_ratios is [1, -1, 1]"),
        ({"crop_ratios": [0, 0, 0]}, "crop_ratios is [0, 0, 0]"),
        ({"regions": {"core": [5]}}, "region 'core' has class 5; allowed: 1 to 2"),
        ({"largest_component": [1, 7]}, "largest_component is [1, 7]; allowed: null, or values 1 to 2"),
        ({"label_source": "third", "label_sources": SOURCES}, "label_source is 'third'; allowed: first, second"),
        ({"label_sources": SOURCES}, "label_source is None; allowed: first, second"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        check_label_settings(NAMES, **settings)


def write_list(folder: Path, labels: dict[str, Any]) -> str:
    (folder / "datalist.json").write_text(json.dumps({"labels": labels, "training": []}), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    "labels",
    [{}, {"1": "Core", "2": "Edema"}, {"1": "cancer"}, {"core": 1, "edema": 2}, {"whole": [1, 2], "edema": 2}],
)
def test_lists_that_agree_or_do_not_say_pass(tmp_path: Path, labels: dict[str, Any]) -> None:
    check_listed_labels(NAMES, [0, 1, 2], write_list(tmp_path, labels))
    check_listed_labels(NAMES, [0, 1, 2], "")


def test_a_list_with_another_number_for_a_class_is_refused(tmp_path: Path) -> None:
    folder = write_list(tmp_path, {"0": "background", "1": "edema", "2": "core"})
    told = re.escape(f"{folder} lists 'core' as 2; with label_source 'first' it is 1")
    with pytest.raises(ValueError, match=told):
        check_listed_labels(NAMES, [0, 1, 2], folder, label_source="first")
    check_listed_labels(NAMES, [0, 2, 1], folder)


def network(width: int) -> BasicUNet:
    return BasicUNet(3, 1, 2, features=(width, width, 8, 8, 8, width))


def test_resuming_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    torch.save({"network": network(4).state_dict(), "trainer": {"epoch": 1}}, path)
    check_resume(path, ["network"], 2, network(4))
    with pytest.raises(ValueError, match=r"resume.pt is of another network than this BasicUNet: \d+ tensors"):
        check_resume(path, ["network"], 2, network(8))


def test_weights_of_another_task_are_refused_and_other_views_told(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(4).state_dict(), path)
    view = {"channels": ["CT"], "spacing": [1.0, 1.0, 1.0]}
    assert compare_card(str(path), view, NAMES) == []  # no card, nothing to compare
    write_card(path, {"view": view, "label_names": NAMES})
    assert compare_card(str(path), view, NAMES) == []
    assert compare_card(str(path), None, None) == []
    [line] = compare_card(str(path), {**view, "spacing": [2.0, 2.0, 2.0]}, NAMES)
    assert line.startswith("spacing: ")
    with pytest.raises(
        ValueError, match="were trained for background, core, edema; this config has background, liver"
    ):
        compare_card(str(path), view, ["background", "liver", "tumour"])
    with pytest.raises(ValueError, match="channels: pretrained with"):
        compare_card(str(path), {**view, "channels": ["MRI"]}, NAMES)
