"""Reading data lists: sections, volume ids, fallbacks, and what is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.data import DataList, check_no_leak
from custom_components.data import lists as lists_module


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def decathlon(tmp_path: Path) -> Path:
    names = [f"case_{k}.nii.gz" for k in range(4)]
    touch(tmp_path, *(f"imagesTr/{n}" for n in names), *(f"labelsTr/{n}" for n in names))
    touch(tmp_path, "imagesTs/case_9.nii.gz", "imagesTr/._case_0.nii.gz", "labelsTr/._case_0.nii.gz")
    training = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in reversed(names)]
    training.append({"image": "./imagesTr/._case_0.nii.gz", "label": "./labelsTr/._case_0.nii.gz"})
    write_json(tmp_path / "dataset.json", {"training": training, "test": ["./imagesTs/case_9.nii.gz"]})
    return tmp_path


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"{n}.nii" for n in "abcdef"), "la.nii", "lb.nii")
    content = {
        "channels": ["CT"],
        "labels": {"0": "background"},
        "unlabelled": [{"image": "a.nii"}, {"image": "c.nii"}, {"image": "d.nii"}],
        "training": [{"image": "a.nii", "label": "la.nii"}],
        "validation": [{"image": "b.nii", "label": "lb.nii"}],
        "test": [{"image": ["e.nii", "f.nii"]}],
    }
    write_json(tmp_path / "datalist.json", content)
    return tmp_path


def load_datalist(folder: Path | str, section: str | list[str], **options: Any) -> list[dict]:
    return DataList(folder, **options).items(section)


def names(items: list[dict]) -> list[str]:
    return [Path(item["image"]).name for item in items]


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


def test_a_list_whose_unlabelled_is_empty_offers_none(listed: Path) -> None:
    content = json.loads((listed / "datalist.json").read_text())
    write_json(listed / "datalist.json", {**content, "unlabelled": []})
    with pytest.raises(ValueError, match="no cases in section 'unlabelled'"):
        load_datalist(listed, "unlabelled")


def test_a_case_that_a_list_holds_twice_is_refused_where_it_is_listed(listed: Path) -> None:
    write_json(listed / "mine.json", {"training": [{"image": "a.nii"}, {"image": "a.nii"}]})
    with pytest.raises(ValueError, match="a.nii is twice in section 'training'"):
        load_datalist(listed, "training", datalist="mine.json")


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


def test_holdout_is_seeded_disjoint_and_only_where_no_validation_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{k}.nii" for k in range(10)))
    held = names(load_datalist(tmp_path, "validation", holdout=0.2))
    kept = names(load_datalist(tmp_path, "unlabelled", holdout=0.2))
    assert len(held) == 2
    assert sorted(held + kept) == [f"{k}.nii" for k in range(10)]
    assert held == names(load_datalist(tmp_path, "validation", holdout=0.2))
    assert any(held != names(load_datalist(tmp_path, "validation", holdout=2, seed=s)) for s in range(1, 5))
    with pytest.raises(ValueError, match="leaves none of the 10"):
        load_datalist(tmp_path, "unlabelled", holdout=10)


def bids(folder: Path, subjects: int = 10) -> None:
    for number in range(subjects):
        for session, sequence in (("01", "T1w"), ("01", "T2w"), ("02", "T1w")):
            case = f"sub-{number:02d}_ses-{session}_{sequence}.nii.gz"
            touch(folder, f"sub-{number:02d}/ses-{session}/anat/{case}")


def test_holdout_draws_subjects_with_all_their_volumes(tmp_path: Path) -> None:
    bids(tmp_path)
    for seed in range(4):
        data = DataList(tmp_path, holdout=0.2, seed=seed)
        held, kept = ({name[:6] for name in names(data.items(part))} for part in ("validation", "unlabelled"))
        assert (len(held), len(kept), held & kept) == (2, 8, set())
        assert len(data.items("validation")) == 6
    with pytest.raises(ValueError, match=r"leaves none of the 30 unlabelled images \(10 subjects\)"):
        load_datalist(tmp_path, "unlabelled", holdout=10)


def test_holdout_takes_a_subjects_labelled_cases_out_of_training(tmp_path: Path) -> None:
    touch(tmp_path, *(f"P{k}_{visit}.nii" for k in range(3) for visit in ("pre", "post")), "l.nii")
    content = {
        "unlabelled": [{"image": f"P{k}_pre.nii"} for k in range(3)],
        "training": [{"image": f"P{k}_post.nii", "label": "l.nii"} for k in range(3)],
    }
    write_json(tmp_path / "datalist.json", content)
    data = DataList(tmp_path, holdout=1)
    (held,) = names(data.items("validation"))
    assert len(data.items("training")) == 2
    assert held.replace("pre", "post") not in names(data.items("training"))


def test_images_of_subjects_in_validation_are_not_offered_for_pretraining(tmp_path: Path) -> None:
    touch(tmp_path, *(f"imagesTr/P{k}_t1.nii" for k in range(3)), *(f"labelsTr/P{k}_t1.nii" for k in range(3)))
    touch(tmp_path, "more/x.nii", "imagesTr/P1_t2.nii")
    split = write_json(tmp_path / "split.json", {"training": ["P0_t1"], "validation": ["P1_t1"]})
    assert names(load_datalist(tmp_path, "unlabelled", split=split)) == ["P0_t1.nii", "P2_t1.nii", "x.nii"]


def test_a_list_that_parts_a_subject_is_refused_unless_it_states_two(tmp_path: Path) -> None:
    bids(tmp_path, 2)
    pre, post = (f"sub-00/ses-01/anat/sub-00_ses-01_{sequence}.nii.gz" for sequence in ("T1w", "T2w"))
    content: dict[str, Any] = {"training": [{"image": pre}], "validation": [{"image": post}]}
    path = write_json(tmp_path / "datalist.json", content)
    with pytest.raises(
        ValueError, match="T1w.nii.gz of section 'training' and .*T2w.* are of one subject .sub-00."
    ):
        load_datalist(tmp_path, "training")
    write_json(path, {**content, "subject_pattern": "(.*)"})
    assert len(load_datalist(tmp_path, "training")) == 1
    content["validation"][0]["subject"] = "another"
    write_json(path, content)
    (item,) = load_datalist(tmp_path, "validation")
    assert "subject" not in item  # samples of a batch must have the same keys


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_by_two_paths_in_two_sections_is_refused(tmp_path: Path, link: Any) -> None:
    touch(tmp_path, "a.nii", "b.nii")
    link(tmp_path / "a.nii", tmp_path / "c.nii")
    content = {"training": [{"image": "a.nii"}], "validation": [{"image": "c.nii"}]}
    write_json(tmp_path / "datalist.json", content)
    with pytest.raises(ValueError, match="c.nii is in sections 'training' and 'validation', first as a.nii"):
        load_datalist(tmp_path, "training")
    write_json(tmp_path / "datalist.json", {"training": [{"image": "a.nii"}, {"image": "c.nii"}]})
    with pytest.raises(ValueError, match="c.nii is twice in section '.*', first as a.nii"):
        load_datalist(tmp_path, "training")


def test_label_maps_among_images_are_found_by_their_voxels(tmp_path: Path, write_nifti: Any) -> None:
    for k in range(3):
        write_nifti(tmp_path / f"p{k}.nii.gz", seed=k)
    regions = np.kron(np.random.RandomState(0).randint(0, 3, (3, 5, 4)), np.ones((8, 4, 4))).astype(np.uint8)
    nib.save(nib.Nifti1Image(regions, np.eye(4)), tmp_path / "result.nii.gz")
    data = DataList(tmp_path)
    assert names(data.items("unlabelled")) == [f"p{k}.nii.gz" for k in range(3)]
    assert data.left_out == {"images whose voxels look like a label map": ["result.nii.gz"]}
    assert len(load_datalist(tmp_path, "unlabelled", include_label_like=True)) == 4


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


def test_a_list_written_with_what_was_left_out_is_read(listed: Path) -> None:
    content = json.loads((listed / "datalist.json").read_text())
    left_out = {"label maps": {"files": 1, "first": ["x_seg.nii"]}}
    write_json(listed / "datalist.json", {**content, "left_out": left_out})
    assert names(load_datalist(listed, "training")) == ["a.nii"]


def test_holdout_leaves_a_listed_validation_alone(listed: Path) -> None:
    assert names(load_datalist(listed, "validation", holdout=0.5)) == ["b.nii"]
    assert len(load_datalist(listed, "unlabelled", holdout=0.5)) == 3


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


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": ["a"], "validation": ["a"]}, "a is in sections 'training' and 'validation'"),
        ({"unlabelled": ["a"], "test": ["a"]}, "a is in sections 'unlabelled' and 'test'"),
        ({"training": ["a", "a"]}, "a is twice in section 'training'"),
    ],
)
def test_a_case_in_two_sections_is_refused(sections: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_no_leak({name: [{"image": image} for image in images] for name, images in sections.items()})


def test_training_images_may_be_pretrained_on() -> None:
    check_no_leak({"unlabelled": [{"image": "a"}], "training": [{"image": "a", "label": "b"}]})


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


def test_the_number_of_missing_files_is_in_the_message(listed: Path) -> None:
    for name in ("a.nii", "b.nii"):
        (listed / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"b.nii does not exist; .* \(2 of its 8 files are missing"):
        load_datalist(listed, "validation")
