"""Which cases an input holds: suffixes, subfolders, channels in files, earlier masks, outputs of their own."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.segment.cases import Found, find_cases
from mim3d.segment.marker import Marker
from mim3d.segment.writer import write_like

CT, MR = ["CT"], ["T1", "T2"]
BRATS = ["FLAIR", "T1", "T1ce", "T2"]


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
        lower = path.with_name(path.name.lower())
        image.to_filename(lower)
        lower.rename(path)
    return folder


def outputs(found: Found, folder: Path) -> dict[str, list[str]]:
    """Output -> files, as relative paths."""
    return {
        str(case.output): [str(file.relative_to(folder)) for file in case.files]
        for case in found.cases
        if not case.fault
    }


def test_every_suffix_and_subfolder_gives_an_output_of_its_own(tmp_path: Path) -> None:
    names = ["case.nii", "case.nii.gz", "B.NII.GZ", "x.nii.gz", "imagesTs/x.nii.gz", "sub/deep/c.Nii"]
    write(tmp_path, *names, "imagesTr/d.nii.gz", "labelsTr/d.nii.gz", ".hidden.nii.gz", "e_seg.nii.gz")
    found = find_cases([str(tmp_path)], CT, Path("out"))
    assert outputs(found, tmp_path) == {
        "out/case.nii_seg.nii.gz": ["case.nii"],
        "out/case.nii.gz_seg.nii.gz": ["case.nii.gz"],
        "out/B_seg.nii.gz": ["B.NII.GZ"],
        "out/x_seg.nii.gz": ["x.nii.gz"],
        "out/imagesTs/x_seg.nii.gz": ["imagesTs/x.nii.gz"],
        "out/sub/deep/c_seg.nii.gz": ["sub/deep/c.Nii"],
        "out/imagesTr/d_seg.nii.gz": ["imagesTr/d.nii.gz"],
    }
    assert found.left == {"named like label maps": ["e_seg.nii.gz", "labelsTr/d.nii.gz"]}


def test_masks_are_recognised_by_their_header_and_not_by_their_name(tmp_path: Path) -> None:
    write(tmp_path, "a.nii.gz")
    for name in ("a_seg.nii.gz", "renamed.nii.gz"):
        mask = np.zeros((4, 4, 4), np.uint8)
        write_like(mask, tmp_path / "a.nii.gz", tmp_path / name, str(Marker("0123", "abcd")))
    found = find_cases([str(tmp_path)], CT, tmp_path)
    assert list(outputs(found, tmp_path).values()) == [["a.nii.gz"]]
    assert found.left == {"written by mim3d segment": ["a_seg.nii.gz", "renamed.nii.gz"]}
    with pytest.raises(ValueError, match=r"renamed.nii.gz was written by mim3d segment; give an image"):
        find_cases([str(tmp_path / "renamed.nii.gz")], CT, tmp_path)


def test_outputs_that_cannot_be_kept_apart_name_both_files(tmp_path: Path) -> None:
    write(tmp_path, "case.nii", "case.nii.gz", "case.nii.nii.gz")
    with pytest.raises(ValueError, match=r"case.nii and .*case.nii.nii.gz would both be written|rename one"):
        find_cases([str(tmp_path)], CT, Path("out"))


def test_channels_in_files_are_grouped_in_order_as_in_nnunet(tmp_path: Path) -> None:
    names = ["p/a_0001.nii.gz", "p/a_0000.nii.gz", "p/b_0000.nii.gz", "p/stacked.nii.gz"]
    write(tmp_path, *names)
    found = find_cases([str(tmp_path)], MR, Path("out"))
    assert outputs(found, tmp_path) == {
        "out/p/a_seg.nii.gz": ["p/a_0000.nii.gz", "p/a_0001.nii.gz"],
        "out/p/stacked_seg.nii.gz": ["p/stacked.nii.gz"],
    }
    (bad,) = (case for case in found.cases if case.fault)
    assert bad.name == "p/b"
    assert bad.fault == "the channels are b_0000.nii.gz; one file each is needed for _0000 T1, _0001 T2"


def test_with_one_channel_numbers_count_patients_unless_they_must_be_channels(tmp_path: Path) -> None:
    write(tmp_path / "patients", *(f"scan_{number:04d}.nii.gz" for number in range(3)))
    found = find_cases([str(tmp_path / "patients")], CT, Path("out"))
    assert [case.name for case in found.cases] == ["scan_0000", "scan_0001", "scan_0002"]
    write(tmp_path / "raw", "imagesTs/a_0000.nii.gz", "imagesTs/b_0000.nii.gz")
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}}))
    found = find_cases([str(tmp_path / "raw")], CT, Path("out"))
    assert [case.name for case in found.cases] == ["imagesTs/a", "imagesTs/b"]
    write(tmp_path / "mr", *(f"{case}_{number:04d}.nii.gz" for case in "ab" for number in range(2)))
    found = find_cases([str(tmp_path / "mr")], CT, Path("out"))
    assert [(case.name, bool(case.fault)) for case in found.cases] == [("a", True), ("b", True)]


def test_brats_folders_are_cases_and_an_incomplete_one_has_a_fault(tmp_path: Path) -> None:
    for number, sequences in ((1, "flair t1 t1ce t2 seg"), (2, "flair t1 t2")):
        case = f"BraTS2021_{number:05d}"
        write(tmp_path, *(f"{case}/{case}_{sequence}.nii.gz" for sequence in sequences.split()))
    found = find_cases([str(tmp_path)], BRATS, Path("out"))
    case = "BraTS2021_00001"
    assert outputs(found, tmp_path) == {
        f"out/{case}/{case}_seg.nii.gz": [f"{case}/{case}_{s}.nii.gz" for s in ("flair", "t1", "t1ce", "t2")]
    }
    assert [case.fault for case in found.cases if case.fault] == [
        "case BraTS2021_00002 has no T1ce (a file named BraTS2021_00002 and one of t1ce, t1c); found"
        " BraTS2021_00002_flair.nii.gz, BraTS2021_00002_t1.nii.gz, BraTS2021_00002_t2.nii.gz"
    ]


def test_several_inputs_are_the_files_of_one_case(tmp_path: Path) -> None:
    write(tmp_path, "case_t1.nii.gz", "case_t2.nii.gz")
    given = [str(tmp_path / name) for name in ("case_t1.nii.gz", "case_t2.nii.gz")]
    assert outputs(find_cases(given, MR, Path("out")), tmp_path) == {
        "out/case_seg.nii.gz": ["case_t1.nii.gz", "case_t2.nii.gz"]
    }
    with pytest.raises(ValueError, match="2 files are given for the channels CT; give one file for each"):
        find_cases(given, CT, Path("out"))


def test_a_data_list_gives_each_image_once(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/a.nii.gz", "imagesTr/b.nii.gz")
    item = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    others = [{"image": image} for image in (item["image"], "imagesTr/b.nii.gz", "lost.nii.gz")]
    sections = {"training": [item], "unlabelled": others}
    (tmp_path / "list.json").write_text(json.dumps(sections))
    found = find_cases([str(tmp_path / "list.json")], CT, Path("out"))
    assert sorted(outputs(found, tmp_path)) == ["out/imagesTr/a_seg.nii.gz", "out/imagesTr/b_seg.nii.gz"]
    assert [case.fault for case in found.cases if case.fault] == [f"{tmp_path / 'lost.nii.gz'} does not exist"]


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ([], "none", "none does not exist; give a folder"),
        (["notes.txt"], "notes.txt", "notes.txt is not a .nii or .nii.gz file"),
        (
            ["in/labelsTr/a.nii.gz"],
            "in",
            r"in holds no .nii.* file to segment \(named like label maps: 1\)",
        ),
    ],
)
def test_an_input_without_cases_is_refused(names: list[str], given: str, message: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        find_cases([str(tmp_path / given)], CT, Path("out"))
