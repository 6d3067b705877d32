"""The quick start's data: what it makes of a user's list, and which lists it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def quickstart_data(quick_start):
    return quick_start.quickstart_data


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
    quickstart_data, tmp_path, write_nifti, shape, channels
):
    folder = listed(tmp_path / "data", channels=[], training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    write_nifti(folder / "a.nii.gz", shape)
    task = quickstart_data.own_task(folder, tmp_path, [1.0, 1.0, 1.0])
    layer = json.loads(task.own_layer.read_text())
    assert layer["channels"] == [f"channel {i}" for i in range(channels)]
    assert layer["label_names"] == ["background", "a"]
    assert layer["intensity"]["_target_"] == "NormalizeIntensityd"


def test_an_image_of_several_files_has_their_channels(quickstart_data, tmp_path, write_nifti):
    folder = listed(tmp_path, training=[{"image": ["t1.nii.gz", "t2.nii.gz"], "label": "b.nii.gz"}])
    for name in ("t1", "t2"):
        write_nifti(folder / f"{name}.nii.gz", (6, 6, 6))
    assert quickstart_data.channel_count(quickstart_data.Task("own", folder)) == 2


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": 2}, r"no cases in validation; found 2 unlabelled, 2 training, 0 validation, 0 test$"),
        ({"training": 2, "test": 1}, "no cases in validation; found"),
        ({"unlabelled": 2, "validation": 1}, "no cases in training; found"),
        ({"training": 1, "validation": [{"image": "v.nii"}]}, "1 validation cases without a label, first v.nii"),
    ],
)
def test_a_list_that_is_short_is_refused_in_one_line(quickstart_data, tmp_path, sections, message):
    with pytest.raises(SystemExit, match=f"^error: the data list has {message}"):
        quickstart_data.held_out_section(quickstart_data.Task("own", listed(tmp_path, **sections)))


@pytest.mark.parametrize(
    ("test", "section"), [(2, "test"), (0, "validation"), ([{"image": "t.nii"}], "validation")]
)
def test_runs_are_compared_where_there_are_labels(quickstart_data, tmp_path, test, section):
    folder = listed(tmp_path, training=2, validation=1, test=test)
    assert quickstart_data.held_out_section(quickstart_data.Task("own", folder)) == section
