"""The quick start's data: what it makes of a user's list, and which lists it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.quickstart.data import channel_count, list_cases, own_keys


@pytest.mark.parametrize(("shape", "channels"), [((6, 6, 6), 1), ((6, 6, 6, 4), 4)])
def test_channels_that_a_list_does_not_name_are_those_of_its_image(
    listed: Callable[..., Path],
    write_nifti: Callable[..., Path],
    shape: tuple[int, ...],
    channels: int,
) -> None:
    folder = listed(channels=[], training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    write_nifti(folder / "a.nii.gz", shape)
    view, labels = own_keys(folder, json.loads((folder / "datalist.json").read_text()))
    assert view["channels"] == [f"channel {i}" for i in range(channels)]
    assert view["intensity"]["_target_"] == "NormalizeIntensityd"
    assert labels == {"label_names": ["background", "a"]}


def test_labels_with_a_gap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"names the labels .*; allowed: 0 \(background\), 1, \.\.\. without a gap"
    ):
        own_keys(tmp_path, {"labels": {"0": "background", "2": "a"}, "channels": ["CT"]})


def test_ct_keeps_the_window_of_the_bundle(tmp_path: Path) -> None:
    view, _ = own_keys(tmp_path, {"labels": {"0": "background", "1": "a"}, "channels": ["CT venous"]})
    assert view == {"channels": ["CT venous"]}


def test_an_image_of_several_files_has_their_channels(tmp_path: Path, write_nifti: Callable[..., Path]) -> None:
    for name in ("t1", "t2"):
        write_nifti(tmp_path / f"{name}.nii.gz", (6, 6, 6))
    item = {"image": ["t1.nii.gz", "t2.nii.gz"], "label": "b.nii.gz"}
    assert channel_count(tmp_path, {"training": [item]}) == 2


def test_a_list_is_drawn_once_and_beside_the_results(tmp_path: Path, write_nifti: Callable[..., Path]) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    for number in range(3):
        for place, classes in (("imagesTr", None), ("labelsTr", 2)):
            write_nifti(folder / place / f"{number}.nii.gz", (6, 6, 6), label_classes=classes)
    out.mkdir()
    drawn = list_cases(folder, out, 0, validation=1, test=1)
    assert drawn == out / "datalist.json"
    content = json.loads(drawn.read_text())
    assert [len(content[name]) for name in ("training", "validation", "test")] == [1, 1, 1]
    assert list_cases(folder, out, 1, validation=1, test=1).read_text() == drawn.read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["imagesTr", "labelsTr"]
