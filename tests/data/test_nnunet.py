"""nnU-Net's raw data: channels grouped in order, labels, names, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from custom_components.data import DataList
from custom_components.data.layouts import scan
from mim3d.datasets.prepare import prepare_datalist


def write(folder: Path, *names: str, **description: Any) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    if description:
        (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def channels(case: str, count: int = 2, folder: str = "imagesTr") -> list[str]:
    return [f"{folder}/{case}_{channel:04d}.nii.gz" for channel in range(count)]


DESCRIPTION: dict[str, Any] = {
    "channel_names": {"1": "T2", "0": "T1"},
    "labels": {"background": 0, "lesion": 1},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


def data_set(folder: Path, **changes: Any) -> Path:
    files = [*channels("c1"), *channels("c2"), *channels("c3"), "labelsTr/c1.nii.gz", "labelsTr/c2.nii.gz"]
    return write(folder, *files, *channels("t1", folder="imagesTs"), **{**DESCRIPTION, **changes})


def test_channels_are_one_case_in_order_with_label_and_names(tmp_path: Path) -> None:
    layout = scan(data_set(tmp_path))
    assert layout.labelled == [
        {"image": channels("c1"), "label": "labelsTr/c1.nii.gz"},
        {"image": channels("c2"), "label": "labelsTr/c2.nii.gz"},
    ]
    assert layout.unlabelled == [{"image": channels("c3")}]
    assert layout.test_images == [{"image": channels("t1", folder="imagesTs")}]
    assert (layout.meta["channels"], layout.meta["labels"]) == (["T1", "T2"], {"0": "background", "1": "lesion"})
    assert layout.left_out == {}


def test_a_list_and_a_run_without_one_read_the_same_cases(tmp_path: Path) -> None:
    folder = data_set(tmp_path)
    without = DataList(folder).items("training")
    content = json.loads(prepare_datalist(folder, validation=1).read_text())
    assert [len(content[name]) for name in ("training", "validation", "unlabelled")] == [1, 1, 2]
    assert content["left_out"]["test images (imagesTs)"] == {"files": 1, "first": ["imagesTs/t1_0000.nii.gz"]}
    items = DataList(folder).items(["training", "validation"])
    assert sorted(item["label"] for item in items) == sorted(item["label"] for item in without)
    assert [Path(path).name for path in without[0]["image"]] == ["c1_0000.nii.gz", "c1_0001.nii.gz"]
    assert DataList(folder).labels == {0: "background", 1: "lesion"}


def test_one_channel_is_one_file_and_a_split_names_the_case(tmp_path: Path) -> None:
    files = [*channels("c_001", 1), *channels("c_002", 1), "labelsTr/c_001.nii.gz", "labelsTr/c_002.nii.gz"]
    folder = write(tmp_path, *files, channel_names={"0": "CT"}, labels={"background": 0}, file_ending=".nii.gz")
    (folder / "split.json").write_text(json.dumps({"training": ["c_002"]}))
    (item,) = DataList(folder, split="split.json").items("training")
    assert item["image"].endswith("imagesTr/c_002_0000.nii.gz")


def test_without_a_description_a_label_shows_which_number_is_a_channel(tmp_path: Path) -> None:
    files = [*channels("c1"), *channels("c2"), "labelsTr/c1.nii.gz"]
    layout = scan(write(tmp_path / "channels", *files))
    assert [item["image"] for item in layout.labelled] == [channels("c1")]
    assert [item["image"] for item in layout.unlabelled] == [channels("c2")]
    patients = [f"{kind}/p_{number:04d}.nii.gz" for kind in ("imagesTr", "labelsTr") for number in range(3)]
    for name, description in (("plain", {}), ("named", {"channel_names": {"0": "CT"}})):
        layout = scan(write(tmp_path / name, *patients, **description))
        assert [(i["image"], i["label"]) for i in layout.labelled] == list(
            zip(patients[:3], patients[3:], strict=True)
        )


def test_channel_numbers_count_in_a_folder_images_too(tmp_path: Path) -> None:
    names = [*channels("FLARE22_Tr_0001", 1, "images"), "labels/FLARE22_Tr_0001.nii.gz"]
    assert scan(write(tmp_path, *names)).labelled == [{"image": names[0], "label": names[1]}]


def test_several_data_sets_in_one_folder_are_grouped_each(tmp_path: Path) -> None:
    for name in ("Dataset001_A", "Dataset002_B"):
        data_set(tmp_path / name)
    layout = scan(tmp_path)
    assert [len(item["image"]) for item in (*layout.labelled, *layout.unlabelled)] == [2] * 6
    assert layout.labelled[0]["label"] == "Dataset001_A/labelsTr/c1.nii.gz"
    write(tmp_path / "Dataset003_C", *channels("x", 1), **{**DESCRIPTION, "channel_names": {"0": "CT"}})
    with pytest.raises(
        ValueError,
        match="several nnU-Net data sets: Dataset001_A/imagesTr has 2 .*Dataset003_C/imagesTr has 1 channel",
    ):
        scan(tmp_path)


def test_files_may_be_named_one_by_one(tmp_path: Path) -> None:
    dataset = {
        "a": {"images": ["x/1.nii", "x/2.nii"], "label": "y/1.nii"},
        "b": {"images": ["x/3.nii", "x/4.nii"]},
    }
    folder = write(tmp_path, "x/1.nii", "x/2.nii", "x/3.nii", "x/4.nii", "y/1.nii", **DESCRIPTION, dataset=dataset)
    layout = scan(folder)
    assert layout.labelled == [{"image": ["x/1.nii", "x/2.nii"], "label": "y/1.nii"}]
    assert layout.unlabelled == [{"image": ["x/3.nii", "x/4.nii"]}]


def test_the_first_version_lists_names_without_channel_numbers(tmp_path: Path) -> None:
    training = [{"image": "./imagesTr/c1.nii.gz", "label": "./labelsTr/c1.nii.gz"}]
    description = {
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "x"},
        "training": training,
    }
    folder = write(tmp_path, *channels("c1"), "labelsTr/c1.nii.gz", **description)
    assert scan(folder).labelled == [{"image": channels("c1"), "label": "labelsTr/c1.nii.gz"}]


def test_upper_case_endings_count(tmp_path: Path) -> None:
    files = ["imagesTr/c1_0000.NII.GZ", "imagesTr/c1_0001.Nii.gz", "labelsTr/c1.NII"]
    (item,) = scan(write(tmp_path, *files, **DESCRIPTION)).labelled
    assert item == {"image": files[:2], "label": files[2]}


@pytest.mark.parametrize(
    ("add", "remove", "message"),
    [
        ([], "imagesTr/c2_0001.nii.gz", "case c2 lacks channel 0001 (T2) of 2; found 0000 in imagesTr"),
        ([], "imagesTs/t1_0000.nii.gz", "case t1 lacks channel 0000 (T1) of 2; found 0001 in imagesTs"),
        (["imagesTr/c1_0002.nii.gz"], None, "case c1 has the channels 0000, 0001, 0002; dataset.json names 2"),
        (["imagesTr/c1_0001.nii"], None, "imagesTr/c1_0001.nii and imagesTr/c1_0001.nii.gz are one channel"),
        (["imagesTr/c9.nii.gz"], None, "imagesTr/c9.nii.gz has no channel number, others have"),
        (["labelsTr/c1.nii"], None, "labelsTr/c1.nii and labelsTr/c1.nii.gz are labels of one case"),
    ],
)
def test_cases_that_are_not_whole_are_named(
    tmp_path: Path, add: list[str], remove: str | None, message: str
) -> None:
    folder = write(data_set(tmp_path), *add)
    if remove:
        (folder / remove).unlink()
    with pytest.raises(ValueError, match=re.escape(message)):
        scan(folder)


@pytest.mark.parametrize("ending", [".png", ".mha", ".nrrd"])
def test_endings_other_than_nifti_are_refused(tmp_path: Path, ending: str) -> None:
    folder = write(tmp_path, f"imagesTr/c1_0000{ending}", **{**DESCRIPTION, "file_ending": ending})
    with pytest.raises(ValueError, match=f"states file_ending '{ending}'; allowed: .nii.gz, .nii"):
        scan(folder)


def test_labels_of_other_names_are_shown_with_an_image(tmp_path: Path) -> None:
    folder = write(tmp_path, *channels("c1"), "labelsTr/other.nii.gz", **DESCRIPTION)
    with pytest.raises(ValueError, match="an image is imagesTr/c1_0000.nii.gz, a label is labelsTr/other.nii.gz"):
        prepare_datalist(folder)
    assert not (folder / "datalist.json").exists()
    content = json.loads(prepare_datalist(folder, images_only=True).read_text())
    assert content["unlabelled"] == [{"image": channels("c1")}]


def test_regions_name_each_value_by_the_smallest_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = {"background": 0, "whole tumor": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    content = json.loads(prepare_datalist(data_set(tmp_path, labels=regions), validation=1).read_text())
    assert content["labels"] == {"0": "background", "1": "whole tumor", "2": "core", "3": "enhancing"}
    assert "core is the region of the label values 2, 3" in capsys.readouterr().out
    two = {"background": 0, "tumor": [1, 2], "all": [1, 2, 3]}
    layout = scan(data_set(tmp_path, labels=two))
    assert layout.meta["labels"] == {"0": "background", "1": "tumor (1)", "2": "tumor (2)", "3": "all"}


def test_an_ignore_label_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_datalist(data_set(tmp_path, labels={"background": 0, "x": 1, "ignore": 2}), validation=1)
    assert "'ignore' is listed as a class" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "x"}, "labels is 'x'; allowed: names by number"),
        ({"labels": {"x": [0, "1"]}}, "label 'x' is [0, '1']; allowed: a whole number or a list"),
        ({"labels": {"0": {"a": 1}}}, "allowed: names by number"),
        ({"channel_names": {"first": "T1"}}, "the channels are {'first': 'T1'}; allowed: names by number"),
        ({"training": [5]}, "an item of section 'training' is 5; allowed"),
        ({"training": [{"image": 5}]}, "has the image 5; allowed: a path"),
        ({"training": [], "test": {}}, "no .nii"),
        ({"training": [], "test": "x"}, "section 'test' is a str; allowed: a list"),
        ({"dataset": {"a": {"images": []}}}, "case 'a' has no 'images'"),
    ],
)
def test_a_damaged_description_is_one_clear_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        scan(data_set(tmp_path, **change))
    assert str(tmp_path) in str(caught.value)
