"""A subject is on one side of every list: drawn by holdout, kept out of pretraining, refused in two sections."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from custom_components.data import DataList, check_no_leak
from tests.data.list_files import load_datalist, names, touch, write_json


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


def test_holdout_leaves_a_listed_validation_alone(listed: Path) -> None:
    assert names(load_datalist(listed, "validation", holdout=0.5)) == ["b.nii"]
    assert len(load_datalist(listed, "unlabelled", holdout=0.5)) == 3


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
