"""Who is in which section of a written list: sizes and shares, subjects, folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.data import DataList, check_no_leak
from custom_components.data.subjects import Subjects
from mim3d.datasets.prepare import prepare_datalist, prepare_folds
from mim3d.datasets.split import stating_subjects
from tests.data.list_files import touch
from tests.mim3d.datasets.written import content, images


def test_split_is_disjoint_complete_relative_and_seeded(labelled: Path) -> None:
    path = prepare_datalist(labelled, validation=0.2, test=3, seed=1)
    parts = {name: images(path, name) for name in ("training", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"training": 5, "validation": 2, "test": 3}
    assert sorted(sum(parts.values(), [])) == [f"images/c{k}.nii.gz" for k in range(10)]
    assert all(item["label"] == item["image"].replace("images", "labels") for item in content(path)["training"])
    again = prepare_datalist(labelled, out=labelled / "x" / "again.json", validation=0.2, test=3, seed=1)
    assert again.read_text() == path.read_text()
    other = prepare_datalist(labelled, out=labelled / "other.json", validation=0.2, test=3, seed=2)
    assert images(other, "test") != parts["test"]


def test_unlabelled_never_holds_validation_or_test(labelled: Path) -> None:
    for option, extra in (("rest", 0), ("training+rest", 4)):
        path = prepare_datalist(
            labelled, training=4, validation=2, test=1, unlabelled=option, out=labelled / f"{option}.json"
        )
        held = set(images(path, "validation") + images(path, "test"))
        assert not held & set(images(path, "unlabelled"))
        assert len(images(path, "unlabelled")) == 1 + 3 + extra
        assert all(set(item) == {"image"} for item in content(path)["unlabelled"])


def test_fewer_training_cases_are_a_part_of_more_with_the_same_test(labelled: Path) -> None:
    small = prepare_datalist(labelled, training=2, validation=2, test=2, out=labelled / "s.json")
    large = prepare_datalist(labelled, training=0.5, validation=2, test=2, out=labelled / "l.json")
    assert set(images(small, "training")) < set(images(large, "training"))
    assert images(small, "test") == images(large, "test")
    assert images(small, "validation") == images(large, "validation")


def test_subjects_stay_together(tmp_path: Path) -> None:
    for subject in range(6):
        for visit in "ab":
            touch(tmp_path, f"images/s{subject}_{visit}.nii", f"labels/s{subject}_{visit}.nii")
    path = prepare_datalist(tmp_path, validation=2, test=1, subject_pattern=r"(s\d+)_")
    subjects = [{Path(i).name[:2] for i in images(path, name)} for name in ("training", "validation", "test")]
    assert [len(part) for part in subjects] == [3, 2, 1]
    assert not subjects[0] & subjects[1] | subjects[0] & subjects[2] | subjects[1] & subjects[2]
    with pytest.raises(ValueError, match="does not match images/s0_a.nii"):
        prepare_datalist(tmp_path, subject_pattern=r"(patient\d)", overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": 1.5}, "validation is 1.5; a share lies in"),
        ({"test": -1}, "test is -1; allowed"),
        ({"validation": 11}, "validation asks for 11 cases, there are 10"),
        ({"training": 8, "validation": 2, "test": 2}, "test 2, validation 2, training 8; there are 10"),
        ({"unlabelled": "all"}, "unlabelled is 'all'; allowed: rest, training"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(labelled: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_datalist(labelled, **arguments)
    assert not (labelled / "datalist.json").exists()


def test_volumes_of_a_subject_stay_together_with_and_without_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(6):
        for visit in ("ses-1", "ses-2"):
            case = f"sub-{k}/{visit}/anat/sub-{k}_{visit}"
            touch(tmp_path, f"{case}_T1w.nii.gz", f"derivatives/{case}_T1w_dseg.nii.gz")
        touch(tmp_path, f"sub-{k}/ses-1/anat/sub-{k}_ses-1_T2w.nii.gz")
    path = prepare_datalist(tmp_path, validation=1, test=2)
    held = {i[:5] for i in images(path, "validation") + images(path, "test")}
    assert (len(images(path, "validation")), len(images(path, "test")), len(held)) == (2, 4, 3)
    seen = images(path, "training") + images(path, "unlabelled")
    assert not held & {i[:5] for i in seen}
    assert len(set(seen)) == 9  # three subjects of three volumes
    assert content(path)["left_out"]["other volumes of subjects in validation or test"]["files"] == 3
    assert {item["subject"] for item in content(path)["training"]} == {i[:5] for i in images(path, "training")}
    assert "15 cases are of 6 subjects" in capsys.readouterr().out
    assert len(DataList(tmp_path, holdout=0.5).items("validation")) == 2


def test_a_pattern_is_stored_so_that_readers_find_the_same_subjects(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{kind}/case_ses-{k}.nii" for kind in ("images", "labels") for k in range(4)))
    with pytest.raises(
        ValueError, match="asks for test 1, validation 1, training -1; there are 1 labelled subjects"
    ):
        prepare_datalist(tmp_path, validation=1, test=1)
    path = prepare_datalist(tmp_path, validation=1, test=1, subject_pattern="(.*)")
    assert content(path)["subject_pattern"] == "(.*)"
    assert len(DataList(tmp_path).items("training")) == 2


def test_subjects_are_stated_where_a_reader_would_find_others() -> None:
    names = {"training": "A/k", "validation": "A/l", "test": "B/m"}
    parted = {section: [{"image": f"{name}.nii"}] for section, name in names.items()}
    # With three files in A, the two folders are no patients'; without the third, which is left out, they are.
    every = Subjects([{"image": f"{name}.nii"} for name in ("A/k", "A/l", "A/left_out", "B/m")])
    with pytest.raises(ValueError, match="are of one subject"):
        check_no_leak(parted)
    stated = stating_subjects(parted, every)
    check_no_leak(stated)
    assert [item["subject"] for section in stated.values() for item in section] == ["A/k", "A/l", "B/m"]


@pytest.mark.parametrize("number", [3, 4, 10, 18, 41])
def test_shares_that_add_up_to_one_use_every_subject(tmp_path: Path, number: int) -> None:
    for k in range(number):
        touch(tmp_path, f"images/c{k}.nii.gz", f"labels/c{k}.nii.gz")
    path = prepare_datalist(tmp_path, training=0.7, validation=0.1, test=0.2)
    held = max(1, round(0.1 * number)) + max(1, round(0.2 * number))
    assert len(images(path, "training")) == number - held
    small = prepare_datalist(tmp_path, training=0.1, validation=0.1, test=0.2, out=tmp_path / "small.json")
    assert len(images(small, "training")) == max(1, round(0.1 * number))
    assert set(images(small, "training")) <= set(images(path, "training"))


def test_shares_that_leave_nothing_to_train_on_or_exceed_one_are_refused(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="asks for test 4, validation 3, training 5; there are 10"):
        prepare_datalist(labelled, training=0.5, validation=0.3, test=0.4)
    two = tmp_path / "two"
    for k in range(2):
        touch(two, f"images/c{k}.nii.gz", f"labels/c{k}.nii.gz")
    with pytest.raises(ValueError, match="asks for test 1, validation 1, training 1; there are 2"):
        prepare_datalist(two, training=0.7, validation=0.1, test=0.2)


def test_each_subject_is_validated_in_one_fold(labelled: Path) -> None:
    paths = prepare_folds(labelled, 3, test=1)
    assert [path.name for path in paths] == [f"datalist_fold{k}.json" for k in range(3)]
    tested = {tuple(images(path, "test")) for path in paths}
    assert len(tested) == 1
    validated = [image for path in paths for image in images(path, "validation")]
    everyone = [f"images/c{k}.nii.gz" for k in range(10)]
    assert sorted([*validated, *tested.pop()]) == everyone
    for path in paths:
        parts = [images(path, name) for name in ("training", "validation", "test")]
        assert sorted(sum(parts, [])) == everyone
        assert not set(images(path, "validation")) & set(images(path, "unlabelled"))
    fewer = prepare_folds(labelled, 3, test=1, training=2, out=labelled / "few.json")[1]
    assert set(images(fewer, "training")) < set(images(paths[1], "training"))
    with pytest.raises(ValueError, match="folds is 10; there are 9 labelled subjects outside test"):
        prepare_folds(labelled, 10, test=1, overwrite=True)
