"""Writing data lists: layouts, the seeded split, atomic files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_components.data import DataList, check_no_leak
from custom_components.data.subjects import Subjects
from mim3d.datasets.prepare import prepare_datalist, prepare_folds
from mim3d.datasets.split import stating_subjects


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for k in range(10):
        touch(tmp_path, f"images/c{k}.nii.gz", f"labels/c{k}.nii.gz")
    touch(tmp_path, "images/u0.nii.gz")
    return tmp_path


def content(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def images(path: Path, section: str) -> list[str]:
    return [item["image"] for item in content(path)[section]]


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


def test_decathlon_names_come_along_and_official_test_images_stay_out(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz")
    touch(tmp_path, "imagesTs/z.nii.gz")
    description = {
        "name": "Organ",
        "labels": {"0": "background", "1": "organ"},
        "modality": {"1": "T2", "0": "T1"},
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ab"],
        "test": ["./imagesTs/z.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    path = prepare_datalist(tmp_path, validation=1)
    written = content(path)
    assert (written["name"], written["channels"]) == ("Organ", ["T1", "T2"])
    assert written["labels"] == {"0": "background", "1": "organ"}
    assert "imagesTs/z.nii.gz" not in images(path, "unlabelled")
    wide = prepare_datalist(tmp_path, validation=1, include_test_images=True, out=tmp_path / "wide.json")
    assert "imagesTs/z.nii.gz" in images(wide, "unlabelled")


# Task -> modality, labels, name of a case: as in the decathlon's own dataset.json.
DECATHLON = {
    "Task01_BrainTumour": (
        ["FLAIR", "T1w", "t1gd", "T2w"],
        ["background", "edema", "non-enhancing tumor", "enhancing tumour"],
        "BRATS_{:03d}",
    ),
    "Task03_Liver": (["CT"], ["background", "liver", "cancer"], "liver_{}"),
    "Task09_Spleen": (["CT"], ["background", "spleen"], "spleen_{}"),
}


def write_task(folder: Path, task: str, cases: int = 12, test: int = 3) -> list[str]:
    """A task's files (empty ones), with those that macOS leaves beside each, and its dataset.json."""
    modality, labels, name = DECATHLON[task]
    names = [f"{name.format(k)}.nii.gz" for k in range(cases + test)]
    for number, file in enumerate(names):
        where = ("imagesTr", "labelsTr") if number < cases else ("imagesTs",)
        touch(folder, *(f"{w}/{file}" for w in where), *(f"{w}/._{file}" for w in where))
    pairs = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names[:cases]]
    description = {
        "name": task.split("_")[1],
        "tensorImageSize": "4D" if len(modality) > 1 else "3D",
        "modality": {str(k): sequence for k, sequence in enumerate(modality)},
        "labels": {str(k): label for k, label in enumerate(labels)},
        "numTraining": cases,
        "numTest": test,
        "training": pairs[::-1],
        "test": [f"./imagesTs/{n}" for n in names[cases:]],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return names


@pytest.mark.parametrize("task", list(DECATHLON))
def test_decathlon_tasks_as_distributed_become_lists(tmp_path: Path, task: str) -> None:
    names = write_task(tmp_path, task)
    path = prepare_datalist(tmp_path, validation=0.25, test=2)
    written = content(path)
    assert written["channels"] == DECATHLON[task][0]
    assert list(written["labels"].values()) == DECATHLON[task][1]
    parts = {name: images(path, name) for name in ("training", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"training": 7, "validation": 3, "test": 2}
    assert sorted(sum(parts.values(), [])) == sorted(f"imagesTr/{n}" for n in names[:12])
    assert all(
        item["label"] == item["image"].replace("imagesTr", "labelsTr") for name in parts for item in written[name]
    )
    assert images(path, "unlabelled") == parts["training"]
    assert len(DataList(tmp_path, require_label=True).items(["training", "validation", "test"])) == 12
    wide = prepare_datalist(tmp_path, test=2, include_test_images=True, out=tmp_path / "wide.json")
    assert {f"imagesTs/{n}" for n in names[12:]} < set(images(wide, "unlabelled"))


def test_a_plain_folder_becomes_an_unlabelled_list(tmp_path: Path) -> None:
    touch(tmp_path, "p1/scan.nii.gz", "p2/scan.nii.gz", "p2/scan_label.nii.gz")
    path = prepare_datalist(tmp_path, labels=["background", "x"], channels=["CT"], images_only=True)
    assert images(path, "unlabelled") == ["p1/scan.nii.gz", "p2/scan.nii.gz"]
    assert content(path)["training"] == content(path)["validation"] == []
    assert "left_out" not in content(path)
    assert content(path)["labels"] == {"0": "background", "1": "x"}
    assert len(DataList(tmp_path).items("unlabelled")) == 2


def test_an_existing_list_is_kept_unless_asked(labelled: Path) -> None:
    path = prepare_datalist(labelled)
    before = path.read_text()
    assert prepare_datalist(labelled) == path  # the same list again is no conflict
    with pytest.raises(ValueError, match="datalist.json exists.*--overwrite"):
        prepare_datalist(labelled, seed=5)
    assert path.read_text() == before
    prepare_datalist(labelled, seed=5, overwrite=True)
    assert path.read_text() != before
    assert not list(labelled.glob("*.part"))


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


def test_volumes_beside_the_labelled_folders_are_for_pretraining(labelled: Path) -> None:
    touch(labelled, "more/scans/u1.nii", "more/u2.nii.gz", "imagesTs/t.nii.gz")
    found = images(prepare_datalist(labelled, test=1), "unlabelled")
    assert {"more/scans/u1.nii", "more/u2.nii.gz"} < set(found)
    assert not any(name.startswith("imagesTs") for name in found)


def test_what_is_left_out_is_counted_printed_and_stored(
    tmp_path: Path, write_nifti: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(2):
        touch(tmp_path, f"s{k}/ct.nii.gz", f"s{k}/segmentations/liver.nii.gz", f"s{k}/segmentations/spleen.nii.gz")
    write_nifti(tmp_path / "s2" / "ct.nii.gz")
    write_nifti(tmp_path / "s2" / "result.nii.gz", label_classes=2)
    path = prepare_datalist(tmp_path)
    assert images(path, "unlabelled") == ["s0/ct.nii.gz", "s1/ct.nii.gz", "s2/ct.nii.gz"]
    counts = {reason: left["files"] for reason, left in content(path)["left_out"].items()}
    assert counts == {
        "label maps of one class or object each, in a folder beside the image": 4,
        "images whose voxels look like a label map": 1,
    }
    printed = capsys.readouterr().out
    assert "left out 4 label maps of one class" in printed
    assert "write the sum of number x mask as label.nii.gz" in printed
    assert (
        "left out 1 images whose voxels look like a label map, first s2/result.nii.gz (--include_label" in printed
    )
    assert len(DataList(tmp_path).items("unlabelled")) == 3
    wide = prepare_datalist(tmp_path, include_label_like=True, out=tmp_path / "wide.json")
    assert len(images(wide, "unlabelled")) == 8
    assert "left_out" not in content(wide)


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


def test_sections_keep_their_order_in_the_file(labelled: Path) -> None:
    written = content(prepare_datalist(labelled, test=1))
    assert list(written)[4:] == ["unlabelled", "training", "validation", "test"]


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


def test_a_partial_download_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [{"image": f"./imagesTr/c{k}.nii.gz", "label": f"./labelsTr/c{k}.nii.gz"} for k in range(6)]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": listed, "numTraining": 6}))
    with pytest.raises(ValueError, match=r"all 6 cases lack a file, the first is imagesTr/c0.nii.gz; is the"):
        prepare_datalist(tmp_path)
    for k in range(4):
        touch(tmp_path, f"imagesTr/c{k}.nii.gz", f"labelsTr/c{k}.nii.gz")
    touch(tmp_path, "imagesTr/c4.nii.gz", "labelsTr.tar")
    path = prepare_datalist(tmp_path)
    assert len(images(path, "training")) + len(images(path, "validation")) == 4
    reason = "files that are missing or links to nothing (is the download complete?)"
    assert content(path)["left_out"][reason]["first"] == [
        "labelsTr/c4.nii.gz",
        "imagesTr/c5.nii.gz",
        "labelsTr/c5.nii.gz",
    ]
    printed = capsys.readouterr().out
    assert "left out 3 files that are missing" in printed
    assert "dataset.json states 6 labelled cases; 4 are there" in printed
    assert "labelsTr.tar is not unpacked" in printed
