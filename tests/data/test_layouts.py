"""Folders as downloaded: which files are images, which label belongs to which, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_components.data import DataList
from custom_components.data.layouts import left_out_text, scan
from custom_components.data.pairs import FURTHER, NO_IMAGE, PER_CLASS, SEVERAL_IMAGES, SEVERAL_LABELS
from custom_components.data.walk import nifti_files

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """``touch(*names)`` writes files of different content and returns their folder."""

    def write(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        return tmp_path

    return write


def found(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The labels by image, and the images without a label."""
    layout = scan(folder)
    return {i["image"]: i["label"] for i in layout.labelled}, [i["image"] for i in layout.unlabelled]


PAIRS = {  # layout -> (image, label) of each case
    "LiTS": [("volume-0.nii", "segmentation-0.nii"), ("volume-10.nii", "segmentation-10.nii")],
    "KiTS": [(f"case_0000{k}/imaging.nii.gz", f"case_0000{k}/segmentation.nii.gz") for k in range(2)],
    "images, masks": [("images/a.nii.gz", "masks/a.nii.gz"), ("images/b.nii.gz", "masks/b_mask.nii.gz")],
    "any case": [("Images/A.NII.GZ", "GroundTruth/A.nii.gz"), ("Images/b.nii", "GroundTruth/B_GT.nii")],
    "BTCV": [("img/img0001.nii.gz", "label/label0001.nii.gz")],
    "decathlon": [("imagesTr/liver_1.nii.gz", "labelsTr/liver_1.nii.gz")],
    "below a folder": [("train/images/a.nii", "train/labels/a.nii"), ("val/images/a.nii", "val/labels/a.nii")],
    "split below": [("images/train/a.nii", "labels/train/a.nii"), ("images/val/a.nii", "labels/val/a.nii")],
    "beside": [("p/p.nii.gz", "p/p_gt.nii.gz"), ("q/q_ct.nii", "q/q_ROI.nii"), ("r.nii", "r_mask.nii")],
    "ACDC": [
        (f"patient1/patient1_frame{k}.nii.gz", f"patient1/patient1_frame{k}_gt.nii.gz") for k in ("01", "12")
    ],
    "one of each": [("c1/ct.nii.gz", "c1/tumour_mask.nii.gz"), ("c2/ct.nii.gz", "c2/tumour_mask.nii.gz")],
    "one folder per case": [(f"P{k}/scan.nii.gz", f"P{k}/liver_mask.nii.gz") for k in range(2)],
    "AMOS": [("imagesTr/amos_1.nii.gz", "labelsTr/amos_1.nii.gz"), ("imagesVa/amos_8.nii", "labelsVa/amos_8.nii")],
    "FLARE 2021": [(f"TrainingImg/train_00{k}_0000.nii.gz", f"TrainingMask/train_00{k}.nii.gz") for k in range(3)],
    "COVID-19-20": [("Train/volume-covid19-A-0003_ct.nii.gz", "Train/volume-covid19-A-0003_seg.nii.gz")],
    "ATM22": [
        (f"TrainBatch{k}/imagesTr/ATM_{k}_0000.nii", f"TrainBatch{k}/labelsTr/ATM_{k}_0000.nii") for k in (1, 2)
    ],
    "LUNA16": [
        (f"subset{k}/1.3.6.1.4.1.145{k}.nii.gz", f"seg-lungs-LUNA16/1.3.6.1.4.1.145{k}.nii.gz") for k in (0, 1)
    ],
    "BIDS": [
        ("sub-01/anat/sub-01_T1w.nii.gz", "derivatives/sub-01/anat/sub-01_dseg.nii.gz"),
        (
            "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
            "derivatives/manual/sub-02/ses-1/anat/sub-02_ses-1_label-lesion_mask.nii.gz",
        ),
        ("sub-03/anat/sub-03_T2w.nii.gz", "derivatives/labels/sub-03/anat/sub-03_T2w_seg-manual.nii.gz"),
    ],
}


@pytest.mark.parametrize("layout", list(PAIRS))
def test_each_label_of_a_layout_goes_to_its_image(touch: Touch, layout: str) -> None:
    labels, unlabelled = found(touch(*(file for pair in PAIRS[layout] for file in pair)))
    assert labels == dict(PAIRS[layout])
    assert unlabelled == []


def test_several_layouts_in_one_folder_do_not_mix(touch: Touch) -> None:
    every = {name: [tuple(f"{name}/{file}" for file in pair) for pair in pairs] for name, pairs in PAIRS.items()}
    labels, unlabelled = found(touch(*(file for pairs in every.values() for pair in pairs for file in pair)))
    assert labels == {image: label for pairs in every.values() for image, label in pairs}
    assert unlabelled == []


LEFT = {  # what is left out -> images, label maps without a case, why
    "TotalSegmentator": (
        ["s0000/ct.nii.gz", "s0001/mri.nii.gz"],
        [
            "s0000/segmentations/liver.nii.gz",
            "s0000/segmentations/spleen.nii.gz",
            "s0001/segmentations/liver.nii.gz",
        ],
        PER_CLASS,
    ),
    "two readers": (["p/p.nii"], ["p/p_gt.nii", "p/p_mask.nii"], SEVERAL_LABELS),
    "two sequences": (
        ["sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T2w.nii"],
        ["derivatives/sub-1/anat/sub-1_dseg.nii"],
        SEVERAL_IMAGES,
    ),
    "no such image": (["a.nii", "b.nii"], ["c_seg.nii"], NO_IMAGE),
    "another patient": (["P1_ct.nii"], ["P2_seg.nii"], NO_IMAGE),
}


@pytest.mark.parametrize("kind", list(LEFT))
def test_label_maps_that_fit_no_single_image_are_left_out_and_counted(touch: Touch, kind: str) -> None:
    images, labels, why = LEFT[kind]
    layout = scan(touch(*images, *labels))
    assert layout.labelled == []
    assert [item["image"] for item in layout.unlabelled] == images
    assert layout.left_out == {why: labels}
    assert left_out_text(layout.left_out) == f"left out: {len(labels)} {why}, first {labels[0]}"


def test_objects_beside_a_segmentation_are_left_out(touch: Touch) -> None:
    instance = "case_0/instances/kidney_instance-1_annotation-1.nii.gz"
    layout = scan(touch("case_0/imaging.nii.gz", "case_0/segmentation.nii.gz", instance))
    assert [item["label"] for item in layout.labelled] == ["case_0/segmentation.nii.gz"]
    assert layout.left_out == {FURTHER: [instance]}


def test_one_label_map_beside_one_file_per_class_is_the_label(touch: Touch) -> None:
    labels, _ = found(touch("s0/ct.nii.gz", "s0/label.nii.gz", "s0/segmentations/liver.nii.gz"))
    assert labels == {"s0/ct.nii.gz": "s0/label.nii.gz"}


def test_processed_copies_are_no_images(touch: Touch) -> None:
    copy = "derivatives/fmriprep/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz"
    layout = scan(touch("sub-1/anat/sub-1_T1w.nii.gz", copy))
    assert [item["image"] for item in layout.unlabelled] == ["sub-1/anat/sub-1_T1w.nii.gz"]
    assert list(layout.left_out.values()) == [[copy]]


def test_folders_of_labels_go_before_masks_of_the_same_name(touch: Touch) -> None:
    labels, _ = found(touch("images/a.nii", "labels/a.nii", "masks/a.nii"))
    assert labels == {"images/a.nii": "labels/a.nii"}


@pytest.mark.parametrize("name", ["labelled/a.nii", "brain_masked.nii", "segmentation_data/a.nii", "seg1x/b.nii"])
def test_names_that_only_resemble_those_of_labels_are_images(touch: Touch, name: str) -> None:
    assert found(touch(name)) == ({}, [name])


def test_a_key_takes_files_named_like_labels_for_images_but_not_labels_of_cases(touch: Touch) -> None:
    folder = touch("a.nii", "a_seg.nii", "b_ROI.nii", "masks/c.nii", "derivatives/sub-1/sub-1_T1w.nii")
    layout = scan(folder, include_label_like=True)
    assert [(i["image"], i["label"]) for i in layout.labelled] == [("a.nii", "a_seg.nii")]
    images = ["b_ROI.nii", "derivatives/sub-1/sub-1_T1w.nii", "masks/c.nii"]
    assert [i["image"] for i in layout.unlabelled] == images
    assert layout.left_out == {}


def test_a_folder_of_label_maps_alone_is_refused_with_the_reason(touch: Touch) -> None:
    with pytest.raises(ValueError, match=r"no .nii .* is an image \(left out: 1 label maps .*first a_seg.nii\)"):
        scan(touch("a_seg.nii"))


def test_labels_that_fit_no_image_are_shown_with_one(touch: Touch) -> None:
    folder = touch("imagesTr/x1.nii.gz", "labelsTr/y1.nii.gz")
    assert scan(folder).unmatched == ("imagesTr/x1.nii.gz", "labelsTr/y1.nii.gz")
    with pytest.raises(ValueError, match="an image is imagesTr/x1.nii.gz, a label is labelsTr/y1.nii.gz"):
        DataList(folder).items("training")
    assert len(DataList(folder).items("unlabelled")) == 1  # pretraining needs no label


def test_test_images_stay_apart_with_their_labels(touch: Touch) -> None:
    layout = scan(touch("imagesTr/a.nii", "labelsTr/a.nii", "imagesTs/b.nii", "labelsTs/b.nii", "imagesTs/c.nii"))
    assert len(layout.labelled) == 1
    assert layout.unlabelled == []
    assert layout.test_images == [
        {"image": "imagesTs/b.nii", "label": "labelsTs/b.nii"},
        {"image": "imagesTs/c.nii"},
    ]


def test_links_back_to_a_folder_add_nothing(touch: Touch) -> None:
    files = ["a/1.nii", "a/b/2.nii", "c/3.nii", "4.nii"]
    folder = touch(*files)
    for link, target in (("a/up", ".."), ("a/b/self", "."), ("c/all", str(folder)), ("0", "a"), ("imagesTr", ".")):
        (folder / link).symlink_to(target)
    assert nifti_files(folder) == sorted(files)
    assert [item["image"] for item in scan(folder).unlabelled] == sorted(files)


def test_a_folder_of_links_is_read_through_them(touch: Touch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = touch("imagesTr/a.nii", "labelsTr/a.nii")
    links = tmp_path_factory.mktemp("links")
    for name in ("imagesTr", "labelsTr"):
        (links / name).symlink_to(folder / name)
    assert found(links) == ({"imagesTr/a.nii": "labelsTr/a.nii"}, [])


def test_linked_folders_named_for_their_content_pair_though_the_real_ones_are_beside(touch: Touch) -> None:
    folder = touch("store/x/a.nii", "store/y/a.nii")
    (folder / "imagesTr").symlink_to("store/x")
    (folder / "labelsTr").symlink_to("store/y")
    assert found(folder) == ({"imagesTr/a.nii": "labelsTr/a.nii"}, [])


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_real_file_is_listed_once(touch: Touch, link: Callable[[Path, Path], None]) -> None:
    folder = touch("images/a.nii", "labels/a.nii", "more/u.nii")
    for source, target in (("images/a.nii", "0.nii"), ("labels/a.nii", "1.nii"), ("more/u.nii", "z.nii")):
        link(folder / source, folder / target)
    layout = scan(folder)
    assert [item["image"] for item in layout.labelled] == ["images/a.nii"]
    assert [item["image"] for item in layout.unlabelled] == ["more/u.nii"]
    assert list(layout.left_out.values()) == [["0.nii", "1.nii", "z.nii"]]


def test_a_link_to_nothing_is_named(touch: Touch) -> None:
    folder = touch("a.nii")
    (folder / "b.nii").symlink_to("gone.nii")
    with pytest.raises(ValueError, match="b.nii is a link to nothing"):
        DataList(folder).items("unlabelled")
