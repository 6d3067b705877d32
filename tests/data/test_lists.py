"""Reading data lists: sections, volume ids, fallbacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.data import DataList
from custom_components.data import lists as lists_module
from tests.data.list_files import load_datalist, names, touch, write_json


@pytest.fixture
def decathlon(tmp_path: Path) -> Path:
    names = [f"case_{k}.nii.gz" for k in range(4)]
    touch(tmp_path, *(f"imagesTr/{n}" for n in names), *(f"labelsTr/{n}" for n in names))
    touch(tmp_path, "imagesTs/case_9.nii.gz", "imagesTr/._case_0.nii.gz", "labelsTr/._case_0.nii.gz")
    training = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in reversed(names)]
    training.append({"image": "./imagesTr/._case_0.nii.gz", "label": "./labelsTr/._case_0.nii.gz"})
    write_json(tmp_path / "dataset.json", {"training": training, "test": ["./imagesTs/case_9.nii.gz"]})
    return tmp_path


def test_items_have_absolute_paths_of_existing_files(listed: Path) -> None:
    (item,) = load_datalist(listed, "training")
    assert item["image"] == str(listed / "a.nii")
    assert item["label"] == str(listed / "la.nii")
    (several,) = load_datalist(listed, "test")
    assert several["image"] == [str(listed / "e.nii"), str(listed / "f.nii")]


def test_volume_ids_are_positions_in_the_whole_list_whatever_section_is_asked(listed: Path) -> None:
    everything = load_datalist(listed, ["test", "validation", "training", "unlabelled"])
    ids = {str(item["image"]): item["volume_id"] for item in everything}
    assert sorted(ids.values()) == list(range(5))
    for section in ("unlabelled", "training", "validation", "test"):
        for item in load_datalist(listed, section):
            assert item["volume_id"] == ids[str(item["image"])]


def test_an_image_in_two_sections_keeps_one_id_and_comes_once(listed: Path) -> None:
    items = load_datalist(listed, ["unlabelled", "training"])
    assert names(items) == ["a.nii", "c.nii", "d.nii"]
    assert load_datalist(listed, "training")[0]["volume_id"] == items[0]["volume_id"]


def test_labels_are_dropped_or_demanded_on_request(listed: Path) -> None:
    assert "label" not in load_datalist(listed, "training", require_label=False)[0]
    with pytest.raises(ValueError, match="a.nii has no label"):
        load_datalist(listed, "unlabelled", require_label=True)


def test_a_given_list_file_wins_over_the_one_in_the_folder(listed: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "mine.json", {"training": [{"image": "c.nii"}]})
    assert names(load_datalist(listed, "training", datalist=tmp_path / "mine.json")) == ["c.nii"]
    assert names(load_datalist(listed, "training", datalist="mine.json")) == ["c.nii"]


def test_a_list_without_unlabelled_offers_the_images_of_training_alone(listed: Path) -> None:
    content = json.loads((listed / "datalist.json").read_text())
    del content["unlabelled"]
    content["training"].append({"image": "c.nii", "label": "lb.nii"})
    write_json(listed / "datalist.json", content)
    items = load_datalist(listed, "unlabelled")
    assert names(items) == ["a.nii", "c.nii"]
    assert all("label" not in item for item in items)
    assert [i["volume_id"] for i in items] == [i["volume_id"] for i in load_datalist(listed, "training")]


def test_decathlon_json_gives_training_and_test_without_hidden_files(decathlon: Path) -> None:
    training = load_datalist(decathlon, "training", require_label=True)
    assert names(training) == [f"case_{k}.nii.gz" for k in range(4)]
    assert names(load_datalist(decathlon, "test")) == ["case_9.nii.gz"]
    assert names(load_datalist(decathlon, "unlabelled")) == [f"case_{k}.nii.gz" for k in range(4)]


def test_split_by_case_ids_keeps_validation_out_of_unlabelled(decathlon: Path) -> None:
    split = write_json(decathlon / "split.json", {"training": ["case_2"], "validation": ["case_0", "case_3"]})
    assert names(load_datalist(decathlon, "training", split=split)) == ["case_2.nii.gz"]
    assert names(load_datalist(decathlon, "validation", split=split)) == ["case_0.nii.gz", "case_3.nii.gz"]
    assert names(load_datalist(decathlon, "unlabelled", split=split)) == ["case_1.nii.gz", "case_2.nii.gz"]


def test_split_with_a_case_that_is_not_there_names_it(decathlon: Path) -> None:
    split = write_json(decathlon / "split.json", {"training": ["case_2", "case_77"]})
    with pytest.raises(ValueError, match="split.json: section 'training' names 1 cases.*case_77.*it has 4"):
        load_datalist(decathlon, "training", split=split)


def test_btcv_names_pair_images_with_labels(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/img0001.nii.gz", "labelsTr/label0001.nii.gz", "imagesTr/img0061.nii.gz")
    split = write_json(tmp_path / "split.json", {"training": ["img0001"]})
    (item,) = load_datalist(tmp_path, "training", split=split)
    assert item["label"].endswith("labelsTr/label0001.nii.gz")
    assert names(load_datalist(tmp_path, "unlabelled")) == ["img0001.nii.gz", "img0061.nii.gz"]


def test_a_plain_folder_is_all_unlabelled_without_its_label_maps(tmp_path: Path) -> None:
    touch(tmp_path, "p/b.nii.gz", "a.nii", "labelsTr/a.nii", "Labels/x.nii", "p/b_seg.nii.gz", "notes.txt")
    touch(tmp_path, ".cache/c.nii", "p/._b.nii.gz", "label0001.nii.gz")
    assert sorted(names(load_datalist(tmp_path, "unlabelled"))) == ["a.nii", "b.nii.gz"]


def test_label_maps_among_images_are_found_by_their_voxels(tmp_path: Path, write_nifti: Any) -> None:
    for k in range(3):
        write_nifti(tmp_path / f"p{k}.nii.gz", seed=k)
    regions = np.kron(np.random.RandomState(0).randint(0, 3, (3, 5, 4)), np.ones((8, 4, 4))).astype(np.uint8)
    nib.save(nib.Nifti1Image(regions, np.eye(4)), tmp_path / "result.nii.gz")
    data = DataList(tmp_path)
    assert names(data.items("unlabelled")) == [f"p{k}.nii.gz" for k in range(3)]
    assert data.left_out == {"images whose voxels look like a label map": ["result.nii.gz"]}
    assert len(load_datalist(tmp_path, "unlabelled", include_label_like=True)) == 4


def test_a_list_written_with_what_was_left_out_is_read(listed: Path) -> None:
    content = json.loads((listed / "datalist.json").read_text())
    left_out = {"label maps": {"files": 1, "first": ["x_seg.nii"]}}
    write_json(listed / "datalist.json", {**content, "left_out": left_out})
    assert names(load_datalist(listed, "training")) == ["a.nii"]


def test_an_empty_dataset_dir_is_an_empty_list() -> None:
    data = DataList("")
    assert (data.items("training"), list(data.section(["validation"])), data.channels) == ([], [], [])


def test_a_list_is_read_once_for_sections_channels_and_labels(
    listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    read = lists_module.read_list
    monkeypatch.setattr(lists_module, "read_list", lambda *given: calls.append(given[0]) or read(*given))
    data = DataList(listed, require_label=False, holdout=0.1)
    assert calls == []  # nothing is read before it is needed
    assert len(data.items("unlabelled")) == 3
    assert len(data.section("validation")) == 1
    assert (data.channels, data.labels) == (["CT"], {0: "background"})
    assert data.source == str(listed / "datalist.json")
    assert calls == [listed]


def test_validation_cases_of_a_dataset_json_stay_validation_cases(tmp_path: Path) -> None:
    """AMOS lists them beside ``training``."""
    sections = {"training": ("imagesTr", "labelsTr"), "validation": ("imagesVa", "labelsVa")}
    content: dict[str, Any] = {"labels": {"0": "background", "1": "spleen"}, "test": ["./imagesTs/t.nii"]}
    for name, (images, labels) in sections.items():
        content[name] = [{"image": f"./{images}/{name}.nii", "label": f"./{labels}/{name}.nii"}]
        touch(tmp_path, f"{images}/{name}.nii", f"{labels}/{name}.nii")
    touch(tmp_path, "imagesTs/t.nii")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    data = DataList(tmp_path)
    assert [Path(data.items(name)[0]["image"]).name for name in sections] == ["training.nii", "validation.nii"]
    assert [Path(item["image"]).name for item in data.items("unlabelled")] == ["training.nii"]
