"""What a resume file must hold, and which settings a resumed run must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from custom_components.checks import Resume
from custom_components.data import datalist_hash

SETTINGS: dict[str, Any] = {
    "view": {"spacing": [1.5, 1.5, 2.0], "roi_size": (96, 96, 96)},
    "network": {"class": "BasicUNet", "arguments": {"features": [4, 8]}},
    "label_names": ["background", "liver", "spleen"],
    "method": {"class": "HybridMIM", "arguments": {"region_size": [32, 32, 32]}},
    "loss_terms": ["count", "reconstruction"],
}


def test_a_resume_file_is_checked_before_anything_is_loaded(network, tmp_path: Path) -> None:
    assert Resume(None, ["network"], 5)() is None
    path = tmp_path / "resume.pt"
    with pytest.raises(ValueError, match="does not exist"):
        Resume(str(path), ["network"], 5)()
    content = {"network": network().state_dict(), "trainer": {"epoch": 3, "iteration": 6, "epoch_length": 2}}
    torch.save(content, path)
    assert Resume(str(path), ["network"], 4, {"network": network()})() == "continues after epoch 3"
    with pytest.raises(ValueError, match="is at epoch 3 and epochs is 3; ask for more"):
        Resume(str(path), ["network"], 3)()
    with pytest.raises(ValueError, match="optimizer"):
        Resume(str(path), ["network", "optimizer"], 4)()
    with pytest.raises(ValueError, match=r"resume.pt does not fit this BasicUNet: \d+ tensors"):
        Resume(str(path), ["network"], 4, {"network": network(width=8)})()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="resume.pt"):
        Resume(str(path), ["network"], 4)()


def compare(path: Path, recorded: dict[str, Any], settings: dict[str, Any]) -> str | None:
    torch.save({"trainer": {"epoch": 1}, "settings": recorded}, path)
    return Resume(str(path), [], 4, settings=settings)()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"view": {**SETTINGS["view"], "spacing": [1, 1, 1]}}, "spacing was [1.5, 1.5, 2.0] and is [1, 1, 1]"),
        (
            {"view": {**SETTINGS["view"], "roi_size": [64, 64, 64]}},
            "roi_size was [96, 96, 96] and is [64",
        ),
        ({"network": {"class": "UNETR", "arguments": {"features": [4, 8]}}}, "network was BasicUNet and is UNETR"),
        ({"network": {"class": "BasicUNet", "arguments": {"features": [8]}}}, "features was [4, 8] and is [8]"),
        ({"label_names": ["background", "spleen", "liver"]}, "and is ['background', 'spleen', 'liver']"),
        ({"method": {"class": "HybridMIM", "arguments": {"region_size": 16}}}, "region_size was [32, 32, 32] and"),
        ({"method": {"class": "HybridMIM", "arguments": {}}}, "region_size was [32, 32, 32] and is not set"),
        (
            {"loss_terms": ["reconstruction"]},
            "loss_terms was ['count', 'reconstruction'] and is ['rec",
        ),
    ],
)
def test_a_setting_that_changed_is_named_with_both_values(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "resume.pt"
    with pytest.raises(ValueError, match="belongs to a run with other settings: .*Resume with") as error:
        compare(path, {**SETTINGS, "view": {"spacing": [1.5, 1.5, 2.0], "roi_size": [96] * 3}}, SETTINGS | changed)
    assert message in str(error.value)
    assert str(error.value).count(" was ") == 1


def test_the_same_settings_and_those_of_an_older_file_pass_and_other_cases_warn(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    recorded = {**SETTINGS, "view": {"spacing": [1.5, 1.5, 2.0], "roi_size": [96] * 3}}
    assert compare(path, recorded, SETTINGS) == "continues after epoch 1"
    assert compare(path, {}, SETTINGS) == "continues after epoch 1"
    items = [{"image": str(tmp_path / "a.nii")}]
    for cases, warned in ((items, False), (items * 2, True)):
        content = {"settings": {**recorded, "datalist_hash": datalist_hash(items, str(tmp_path))}}
        torch.save({"trainer": {"epoch": 1}, **content}, path)
        report = Resume(str(path), [], 4, settings=SETTINGS, items=cases, dataset_dir=str(tmp_path))()
        assert ("warning: the training cases are not those that" in str(report)) == warned
