"""BraTS folders as distributed: which files are a case's, in which order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components.data import DataList, check_no_leak
from custom_components.data.brats import brats_cases, patient_of
from custom_components.data.channels import BRATS_CHANNELS
from custom_components.data.layouts import scan
from custom_components.data.names import case_id
from mim3d.datasets.prepare import prepare_datalist
from mim3d.phantoms.brain import SEQUENCES

OLD = ("flair", "t1", "t1ce", "t2")
NEW = ("t2f", "t1n", "t1c", "t2w")
# Release -> case name, separator, sequences as FLAIR, T1, T1ce, T2, suffix.
RELEASES = {
    "2020": ("BraTS20_Training_{:03d}", "_", OLD, "nii"),
    "2021": ("BraTS2021_{:05d}", "_", OLD, "nii.gz"),
    "2023": ("BraTS-GLI-{:05d}-000", "-", NEW, "nii.gz"),
}


def write_case(folder: Path, case: str, sep: str, parts: tuple[str, ...], suffix: str = "nii.gz") -> None:
    (folder / case).mkdir(parents=True, exist_ok=True)
    for part in parts:
        (folder / case / f"{case}{sep}{part}.{suffix}").write_bytes(b"x")


def write_release(folder: Path, release: str, labelled: int = 3, unlabelled: int = 0) -> list[str]:
    name, sep, parts, suffix = RELEASES[release]
    cases = [name.format(k) for k in range(labelled + unlabelled)]
    for number, case in enumerate(cases):
        write_case(folder, case, sep, (*parts, "seg") if number < labelled else parts, suffix)
    return cases


@pytest.mark.parametrize("below", ["", "training", "BraTS_TrainingData/MICCAI_TrainingData"])
@pytest.mark.parametrize("release", list(RELEASES))
def test_every_release_is_found_with_its_files_in_one_order(tmp_path: Path, release: str, below: str) -> None:
    folder = tmp_path / "data"
    cases = write_release(folder / below, release, labelled=3, unlabelled=2)
    layout = scan(folder)
    _, sep, parts, suffix = RELEASES[release]
    prefix = f"{below}/" if below else ""
    expected = [[f"{prefix}{case}/{case}{sep}{part}.{suffix}" for part in parts] for case in cases]
    assert [item["image"] for item in layout.labelled] == expected[:3]
    assert [item["image"] for item in layout.unlabelled] == expected[3:]
    assert [item["label"] for item in layout.labelled] == [
        f"{prefix}{case}/{case}{sep}seg.{suffix}" for case in cases[:3]
    ]
    assert layout.meta["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    assert [case_id(item["image"]) for item in (*layout.labelled, *layout.unlabelled)] == cases


def test_one_order_of_channels_holds_for_files_and_phantoms() -> None:
    assert BRATS_CHANNELS == SEQUENCES


def test_the_misnamed_label_of_2020_is_found(tmp_path: Path) -> None:
    write_release(tmp_path, "2020", labelled=1)
    case = "BraTS20_Training_355"
    write_case(tmp_path, case, "_", OLD, "nii")
    (tmp_path / case / "W39_1998.09.19_Segm.nii").write_bytes(b"x")
    labels = [item["label"] for item in scan(tmp_path).labelled]
    assert labels[1] == f"{case}/W39_1998.09.19_Segm.nii"


def test_a_prediction_in_a_cases_folder_is_no_label(tmp_path: Path) -> None:
    write_release(tmp_path, "2021", labelled=0, unlabelled=1)
    folder = tmp_path / "BraTS2021_00000"
    for name in (
        "BraTS2021_00000_flair_seg.nii.gz",
        "BraTS2021_00000_t1_brain.nii.gz",
        "._BraTS2021_00000_seg.nii.gz",
    ):
        (folder / name).write_bytes(b"x")
    layout = scan(tmp_path)
    assert layout.labelled == []
    assert len(layout.unlabelled) == 1


def test_a_single_case_may_be_the_folder_itself(tmp_path: Path) -> None:
    write_release(tmp_path, "2023", labelled=1)
    (item,) = scan(tmp_path / "BraTS-GLI-00000-000").labelled
    assert item["image"][0] == "BraTS-GLI-00000-000-t2f.nii.gz"
    assert case_id(item["image"]) == "BraTS-GLI-00000-000"


@pytest.mark.parametrize("release", list(RELEASES))
@pytest.mark.parametrize("missing", range(4))
def test_a_case_without_a_sequence_is_named_with_it(tmp_path: Path, release: str, missing: int) -> None:
    cases = write_release(tmp_path, release)
    _, sep, parts, suffix = RELEASES[release]
    (tmp_path / cases[1] / f"{cases[1]}{sep}{parts[missing]}.{suffix}").unlink()
    message = f"case {cases[1]} has no {BRATS_CHANNELS[missing]} .*{parts[missing]}.*; found {cases[1]}{sep}"
    with pytest.raises(ValueError, match=message):
        scan(tmp_path)


def test_a_lone_incomplete_case_is_refused_too(tmp_path: Path) -> None:
    write_case(tmp_path, "BraTS2021_00007", "_", ("flair", "t1", "t2", "seg"))
    with pytest.raises(ValueError, match="case BraTS2021_00007 has no T1ce"):
        DataList(tmp_path).items("unlabelled")


def test_two_files_of_one_sequence_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path, "2021")
    (tmp_path / "BraTS2021_00001" / "BraTS2021_00001_t1ce.nii").write_bytes(b"x")
    with pytest.raises(ValueError, match="case BraTS2021_00001 has several files for T1ce: .*keep one of them"):
        scan(tmp_path)


def test_files_beside_the_cases_are_left_out(tmp_path: Path) -> None:
    cases = write_release(tmp_path, "2021")
    for name in (f"stacked/{cases[0]}.nii.gz", f"stacked/labels/final/{cases[0]}.nii.gz", "notes/a.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    layout = scan(tmp_path)
    assert (len(layout.labelled), layout.unlabelled) == (3, [])


def test_folders_of_single_sequences_are_no_brats(tmp_path: Path) -> None:
    for name in ("sub-01/sub-01_T1w.nii.gz", "sub-01/sub-01_FLAIR.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert brats_cases(["sub-01/sub-01_T1w.nii.gz", "sub-01/sub-01_FLAIR.nii.gz"], "data") == []
    assert len(scan(tmp_path).unlabelled) == 3


def test_a_hospitals_folder_with_one_complete_case_is_single_volumes(tmp_path: Path) -> None:
    write_case(tmp_path, "P1", "_", (*OLD, "seg"))
    assert len(scan(tmp_path).labelled) == 1  # all its cases are complete
    write_case(tmp_path, "P2", "_", ("t1",))
    layout = scan(tmp_path)
    assert layout.labelled == []
    assert len(layout.unlabelled) == 5  # the label map is no image
    assert layout.meta["channels"] == []
    assert len(DataList(tmp_path).items("unlabelled")) == 5


def test_a_hospitals_case_with_two_files_of_one_sequence_is_single_volumes(tmp_path: Path) -> None:
    write_case(tmp_path, "P1", "_", OLD)
    write_case(tmp_path, "P2", "_", OLD)
    (tmp_path / "P2" / "P2_t1.nii").write_bytes(b"x")
    assert [len(item["image"]) == 4 for item in scan(tmp_path).unlabelled] == [False] * 9


@pytest.mark.parametrize("name", ["BraTS2021_00000", "brats_7", "BRATS-GLI-00000-000"])
def test_an_incomplete_case_named_brats_is_refused_beside_any_other(tmp_path: Path, name: str) -> None:
    write_case(tmp_path, "A1", "_", ("t1",))
    write_case(tmp_path, "P1", "_", OLD)
    write_case(tmp_path, name, "_", OLD[1:])
    with pytest.raises(ValueError, match=f"case {name} has no FLAIR"):
        scan(tmp_path)


@pytest.mark.parametrize("release", list(RELEASES))
def test_a_list_is_written_relative_split_by_case_and_read_again(tmp_path: Path, release: str) -> None:
    cases = write_release(tmp_path / "training", release, labelled=10, unlabelled=2)
    path = prepare_datalist(tmp_path, validation=2, test=3)
    content = json.loads(path.read_text())
    assert content["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    sizes = {name: len(content[name]) for name in ("training", "validation", "test", "unlabelled")}
    assert sizes == {"training": 5, "validation": 2, "test": 3, "unlabelled": 7}
    listed = [item for name in ("training", "validation", "test") for item in content[name]]
    assert all(not Path(file).is_absolute() for item in listed for file in (*item["image"], item["label"]))
    assert sorted(case_id(item["image"]) for item in listed) == cases[:10]
    check_no_leak({name: content[name] for name in sizes})
    items = DataList(tmp_path, require_label=True).items(["training", "validation"])
    assert all(Path(file).is_file() for item in items for file in (*item["image"], item["label"]))
    assert DataList(tmp_path).channels == ["FLAIR", "T1", "T1ce", "T2"]


def test_a_split_names_cases_by_their_folder(tmp_path: Path) -> None:
    write_release(tmp_path, "2020")
    (tmp_path / "split.json").write_text(json.dumps({"validation": ["BraTS20_Training_001"]}))
    (item,) = DataList(tmp_path, split="split.json", require_label=True).items("validation")
    assert item["label"].endswith("BraTS20_Training_001_seg.nii")
    assert len(DataList(tmp_path, split="split.json").items("unlabelled")) == 2


def test_without_a_list_every_case_is_unlabelled_with_its_channels(tmp_path: Path) -> None:
    write_release(tmp_path, "2021", labelled=2, unlabelled=1)
    items = DataList(tmp_path, require_label=False, holdout=1).items("unlabelled")
    assert [len(item["image"]) for item in items] == [4, 4]
    assert DataList(tmp_path).channels == ["FLAIR", "T1", "T1ce", "T2"]


def test_scans_of_one_patient_stay_together_since_2023(tmp_path: Path) -> None:
    for patient in range(8):
        for scan_number in range(2):
            write_case(tmp_path, f"BraTS-GLI-{patient:05d}-{scan_number:03d}", "-", (*NEW, "seg"))
    content = json.loads(prepare_datalist(tmp_path, validation=2, test=2).read_text())
    patients = [
        {patient_of(case_id(item["image"])) for item in content[name]}
        for name in ("training", "validation", "test")
    ]
    assert [len(content[name]) for name in ("training", "validation", "test")] == [8, 4, 4]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 8
    assert patient_of("BraTS2021_00001") is None


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["p/BraTS2021_00000_flair.nii.gz", "p/BraTS2021_00000_t1.nii.gz"], "BraTS2021_00000"),
        (["p/BraTS-GLI-00001-000-t1c.nii.gz", "p/BraTS-GLI-00001-000-t1n.nii.gz"], "BraTS-GLI-00001-000"),
        (["a_t1.nii", "a_t1ce.nii"], "a"),
        (["case_0000.nii.gz", "case_0001.nii.gz"], "case"),
        (["flair/s1.nii.gz", "t1/s1.nii.gz"], "s1"),
        (["T1.nii", "T2.nii"], "T1"),
        (["x_1.nii.gz"], "x_1"),
    ],
)
def test_a_case_of_several_files_bears_what_their_names_share(files: list[str], name: str) -> None:
    assert case_id(files) == name
