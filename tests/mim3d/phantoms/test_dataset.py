"""Phantoms written as a data set: its list without leaks, and what is never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.cli import main
from mim3d.phantoms import split_counts, write_phantoms


@pytest.mark.parametrize(
    ("cases", "given", "expected"),
    [
        (20, {}, [5, 2, 3, 10]),
        (30, {"training": 6, "validation": 2, "test": 4, "unlabelled": None}, [6, 2, 4, 18]),
        (None, {"training": 2, "test": 1}, [2, 0, 1, 0]),
        (5, {"training": 5}, [5, 0, 0, 0]),
        (1, {}, [0, 0, 0, 1]),
    ],
)
def test_counts_add_up(cases: int | None, given: dict[str, int | None], expected: list[int]) -> None:
    assert list(split_counts(cases, given).values()) == expected


@pytest.mark.slow
def test_data_set_lists_what_it_wrote_and_no_case_twice(tmp_path: Path) -> None:
    path = write_phantoms(tmp_path / "set", cases=7, size="tiny", training=2, validation=1, test=1, progress=False)
    listed = json.loads(path.read_text())
    assert path.name == "datalist.json"
    assert {name: len(listed[name]) for name in ("training", "validation", "test", "unlabelled")} == {
        "training": 2, "validation": 1, "test": 1, "unlabelled": 3,
    }  # fmt: skip
    assert listed["channels"] == ["CT"]
    assert listed["labels"]["6"] == "liver"
    images = [item["image"] for name in ("training", "validation", "test", "unlabelled") for item in listed[name]]
    assert len(set(images)) == 7
    assert all("label" not in item for item in listed["unlabelled"])
    for item in listed["training"]:
        image, label = (nib.load(path.parent / item[key]) for key in ("image", "label"))
        np.testing.assert_array_equal(image.affine, label.affine)
        assert image.shape == label.shape
        assert image.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8
        assert image.header.get_xyzt_units()[0] == "mm"
    files = {p.relative_to(path.parent).as_posix() for p in path.parent.rglob("*") if p.is_file()}
    labels = {item["label"] for name in ("training", "validation", "test") for item in listed[name]}
    assert files == {*images, *labels, "datalist.json", "phantoms.png"}


def test_files_do_not_depend_on_what_else_is_written(tmp_path: Path) -> None:
    few = write_phantoms(tmp_path / "few", "hippocampus_mri", training=1, progress=False).parent
    many = write_phantoms(tmp_path / "many", "hippocampus_mri", training=3, progress=False).parent
    name = "imagesTr/hippocampus_mri_000.nii.gz"
    assert (few / name).read_bytes() == (many / name).read_bytes()


def test_four_sequences_are_one_file_with_named_channels(tmp_path: Path) -> None:
    path = write_phantoms(tmp_path, "brain_mri", training=1, size="tiny", progress=False)
    listed = json.loads(path.read_text())
    assert listed["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    assert nib.load(tmp_path / listed["training"][0]["image"]).shape[3] == 4


def test_overwrite_replaces_phantoms_and_nothing_else(tmp_path: Path) -> None:
    write_phantoms(tmp_path, "hippocampus_mri", training=3, progress=False)
    with pytest.raises(ValueError, match="holds 8 files.*--overwrite"):
        write_phantoms(tmp_path, "hippocampus_mri", training=1, progress=False)
    write_phantoms(tmp_path, "hippocampus_mri", training=1, overwrite=True, progress=False)
    assert len(list((tmp_path / "imagesTr").iterdir())) == 1
    (tmp_path / "imagesTr" / "patient.nii.gz").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"patient\.nii\.gz"):
        write_phantoms(tmp_path, "hippocampus_mri", training=1, overwrite=True, progress=False)
    assert (tmp_path / "datalist.json").exists()


def test_a_foreign_data_list_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_text('{"name": "our patients"}')
    with pytest.raises(ValueError, match="not written by this command"):
        write_phantoms(tmp_path, training=1, size="tiny", overwrite=True, progress=False)
    assert "our patients" in (tmp_path / "datalist.json").read_text()


def test_command_writes_a_set_and_refuses_to_replace_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["phantoms", "--kind", "hippocampus_mri", "--cases", "2", "--training", "1", "--out", str(tmp_path)]
    main(words)
    assert "datalist.json" in capsys.readouterr().out
    assert (tmp_path / "phantoms.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main(words)
    assert "--overwrite" in capsys.readouterr().err
