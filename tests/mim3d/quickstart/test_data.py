"""The quick start's data: what it makes of a user's list, and which lists it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.quickstart.data import DataSet, channel_count, held_out_section, own_data


def listed(folder: Path, **content: Any) -> Path:
    """A folder with a list; ``training=2`` gives two labelled cases whose files do not exist."""
    for name, value in content.items():
        if isinstance(value, int):
            content[name] = [{"image": f"{name}{i}.nii", "label": f"{name}{i}_seg.nii"} for i in range(value)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "datalist.json").write_text(json.dumps({"labels": {"0": "background", "1": "a"}, **content}))
    return folder


@pytest.mark.parametrize(("shape", "channels"), [((6, 6, 6), 1), ((6, 6, 6, 4), 4)])
def test_channels_that_a_list_does_not_name_are_those_of_its_image(
    tmp_path: Path, write_nifti: Callable[..., Path], shape: tuple[int, ...], channels: int
) -> None:
    folder = listed(tmp_path / "data", channels=[], training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    write_nifti(folder / "a.nii.gz", shape)
    own_data(folder, tmp_path, [1.0, 1.0, 1.0])
    layer = json.loads((tmp_path / "own.json").read_text())
    assert layer["channels"] == [f"channel {i}" for i in range(channels)]
    assert layer["label_names"] == ["background", "a"]
    assert layer["intensity"]["_target_"] == "NormalizeIntensityd"


def test_labels_with_a_gap_are_refused(tmp_path: Path) -> None:
    folder = listed(tmp_path, labels={"0": "background", "2": "a"}, training=1)
    with pytest.raises(
        ValueError, match=r"names the labels .*; allowed: 0 \(background\), 1, \.\.\. without a gap"
    ):
        own_data(folder, tmp_path, [1.0, 1.0, 1.0])


def test_an_image_of_several_files_has_their_channels(tmp_path: Path, write_nifti: Callable[..., Path]) -> None:
    folder = listed(tmp_path, training=[{"image": ["t1.nii.gz", "t2.nii.gz"], "label": "b.nii.gz"}])
    for name in ("t1", "t2"):
        write_nifti(folder / f"{name}.nii.gz", (6, 6, 6))
    assert channel_count(DataSet("own", folder)) == 2


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": 2}, r"no cases in validation; found 2 unlabelled, 2 training, 0 validation, 0 test$"),
        ({"training": 2, "test": 1}, "no cases in validation; found"),
        ({"unlabelled": 2, "validation": 1}, "no cases in training; found"),
        ({"training": 1, "validation": [{"image": "v.nii"}]}, "1 validation cases without a label, first v.nii"),
    ],
)
def test_a_short_list_is_refused(tmp_path: Path, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^the data list has {message}"):
        held_out_section(DataSet("own", listed(tmp_path, **sections)))


@pytest.mark.parametrize(
    ("test", "section"), [(2, "test"), (0, "validation"), ([{"image": "t.nii"}], "validation")]
)
def test_runs_are_compared_on_labelled_cases(tmp_path: Path, test: Any, section: str) -> None:
    folder = listed(tmp_path, training=2, validation=1, test=test)
    assert held_out_section(DataSet("own", folder)) == section
