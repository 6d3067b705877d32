"""Writing data lists: layouts, names, what is left out, atomic files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_components.data import DataList
from mim3d.datasets.prepare import prepare_datalist
from tests.data.list_files import touch
from tests.mim3d.datasets.written import content, images


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


def test_sections_keep_their_order_in_the_file(labelled: Path) -> None:
    written = content(prepare_datalist(labelled, test=1))
    assert list(written)[4:] == ["unlabelled", "training", "validation", "test"]


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
