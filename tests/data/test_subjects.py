"""Which volumes are of one subject, by what is stated and by names."""

from __future__ import annotations

from typing import Any

import pytest

from custom_components.data.subjects import Subjects


def groups(*images: str | list[str], pattern: str | None = None) -> list[int]:
    """The number of volumes of each subject, in the order of the images."""
    items: list[dict[str, Any]] = [{"image": image} for image in images]
    return [len(members) for members in Subjects(items, pattern).group(items).values()]


@pytest.mark.parametrize(
    "images",
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz", "flat/sub-01_FLAIR.nii"),
        ("a/P1_T1.nii", "a/P1_T2.nii", "a/P1_flair.nii.gz", "a/P1.nii"),
        (
            "P1_baseline.nii",
            "P1_followup2.nii",
            "P1_fu_1.nii",
            "P1_ses-01_T1w.nii",
            "P1_visit3.nii",
            "P1-post-op.nii",
        ),
        ("anna_pre.nii", "anna_post.nii"),
        ("P1/2019-03-04/ct.nii", "P1/20200101/CT.nii.gz", "P1/baseline/t1.nii", "P1/scan.nii"),
        ("CT/P1.nii", "MR/P1.nii"),
        ("x/ct.nii", "x/other.nii"),
        ("T1.nii", "T2.nii"),
        (["c1/T1.nii", "c1/T2.nii"], "c1/adc.nii"),
        (
            "BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1n.nii.gz",
            "BraTS-GLI-00001-001/BraTS-GLI-00001-001-t1n.nii.gz",
        ),
        ("case.nii", "case.nii.gz"),
    ],
)
def test_volumes_of_one_subject_are_kept_together(images: tuple[str, ...]) -> None:
    assert groups(*images) == [len(images)]


@pytest.mark.parametrize(
    "images",
    [
        ("liver_1.nii", "liver_2.nii", "liver_12.nii"),
        ("images/scan_001.nii", "images/scan_002.nii"),
        ("flare22_scan_001.nii", "flare22_scan_002.nii", "flare22_scan_003.nii"),
        ("imagesTr/img0001.nii", "imagesTr/img0002.nii"),
        ("volume-0.nii", "volume-1.nii", "volume-10.nii"),
        ("case_0/imaging.nii", "case_1/imaging.nii"),
        ("sub-01_T1w.nii", "sub-02_T1w.nii"),
        ("site1/a.nii", "site1/b.nii", "site2/c.nii", "site2/d.nii"),
        ("train/a.nii", "train/b.nii", "val/c.nii"),
        ("20190304/scan_1.nii", "20190305/scan_2.nii"),
        ("p/a.nii", "p/b.nii"),
        ("1.nii", "t1_1.nii", "v2.nii"),
    ],
)
def test_volumes_of_different_subjects_are_not_joined(images: tuple[str, ...]) -> None:
    assert groups(*images) == [1] * len(images)


def test_numbers_behind_a_subject_are_joined_if_there_are_as_many_subjects() -> None:
    assert groups(*(f"OAS1_000{p}_MR{v}.nii" for p in range(3) for v in (1, 2))) == [2, 2, 2]
    assert groups(*(f"P{p}_m{v:02d}_T1w.nii" for p in range(3) for v in (0, 12))) == [2, 2, 2]


def test_files_of_patients_folders_are_joined_and_those_of_collections_are_not() -> None:
    patients = [f"{p:04d}/{name}.nii" for p in range(4) for name in (f"a{p}x", f"b{p}y", f"c{p}z")]
    assert groups(*patients) == [3] * 4
    assert groups(*(f"{site}/{k}{site}.nii" for site in ("north", "south") for k in range(5))) == [1] * 10


def test_a_stated_subject_goes_before_a_pattern_and_a_pattern_before_names() -> None:
    items: list[dict[str, Any]] = [{"image": "P1_pre.nii"}, {"image": "P1_post.nii"}, {"image": "x/Q_pre.nii"}]
    assert len(Subjects(items).group(items)) == 2
    assert len(Subjects(items, "(.*)").group(items)) == 3
    items[0]["subject"], items[2]["subject"] = 7, "7"
    grouped = Subjects(items, "(.*)").group(items)
    assert {subject: len(members) for subject, members in grouped.items()} == {"7": 2, "P1_post.nii": 1}


def test_a_subject_stated_in_one_section_holds_in_the_others() -> None:
    items: list[dict[str, Any]] = [{"image": "a.nii"}, {"image": "a.nii", "subject": "s"}, {"image": "b.nii"}]
    assert Subjects(items).of({"image": "a.nii"}) == "s"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is not a regular expression"),
        ("(x)", "does not match"),
        ("P1", "has no group"),
        ("(x)?P", "has no group"),
    ],
)
def test_patterns_that_cannot_be_used_are_named(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        groups("P1_pre.nii", pattern=pattern)
