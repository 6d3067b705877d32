"""What is not stacked: files that do not belong together, and folders without anything to stack."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.datasets.stack import stack_folder, stack_images
from tests.mim3d.datasets.brats_files import AFFINE, SEQUENCES, SHAPE, save, volume


@pytest.mark.parametrize("name", ["case.nii.gz", "labels/final/case.nii.gz"])
def test_what_exists_stays_unless_asked(brats: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    there = out / name.replace("case", "BraTS2021_00001")
    there.parent.mkdir(parents=True)
    there.write_bytes(b"old")
    with pytest.raises(ValueError, match=f"{there} exists; --overwrite replaces it"):
        stack_folder(brats, out, label_source="brats2021", progress=False)
    assert [path for path in out.rglob("*") if path.is_file()] == [there]
    stack_folder(brats, out, label_source="brats2021", overwrite=True, progress=False)
    assert there.read_bytes() != b"old"


def test_4d_images_of_other_channels_are_refused(tmp_path: Path) -> None:
    for name, shape in (("a", (*SHAPE, 4)), ("b", (*SHAPE, 2))):
        save(tmp_path / "data" / "imagesTr" / f"{name}.nii", np.zeros(shape, np.int16))
    with pytest.raises(ValueError, match=r"b.nii has 2 channels; expected 4"):
        stack_folder(tmp_path / "data", tmp_path / "out", label_source="msd_task01", progress=False)
    assert nib.load(tmp_path / "out" / "a.nii.gz").shape == (*SHAPE, 4)  # packed: its file was not
    listed = {"modality": {"0": "T1w", "1": "FLAIR", "2": "t1gd", "3": "T2w"}}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="lists the channels T1w, FLAIR, t1gd, T2w: in another order than FLAIR"):
        stack_folder(tmp_path / "data", tmp_path / "new", label_source="msd_task01", progress=False)


def test_files_that_do_not_belong_together_are_named(sequences: list[str], tmp_path: Path) -> None:
    out = tmp_path / "x.nii.gz"
    small = save(tmp_path / "small.nii", volume(0)[:, :, 1:])
    moved = save(tmp_path / "moved.nii", volume(0), AFFINE + 5 * np.eye(4, k=3))
    many = save(tmp_path / "many.nii", np.stack([volume(0)] * 2, -1))
    for bad, words in (
        (small, r"small.nii has shape"),
        (moved, "moved.nii lies elsewhere"),
        (many, "has 2 channels"),
    ):
        with pytest.raises(ValueError, match=words):
            stack_images([sequences[0], bad], out)
    with pytest.raises(ValueError, match="no.nii does not exist"):
        stack_images([sequences[0], str(tmp_path / "no.nii")], out)
    with pytest.raises(ValueError, match="names 1 files; allowed: at least two"):
        stack_images(sequences[:1], out)
    with pytest.raises(ValueError, match="x.mha; allowed: a name in .nii or .nii.gz"):
        stack_images(sequences, tmp_path / "x.mha")
    assert not out.exists()


def test_folders_without_anything_to_stack_are_refused(brats: Path, tmp_path: Path) -> None:
    save(tmp_path / "ct" / "a.nii.gz", volume(0))
    with pytest.raises(ValueError, match="ct has one file per case already: nothing to stack"):
        stack_folder(tmp_path / "ct", tmp_path / "out")
    with pytest.raises(ValueError, match="there are 3 cases; allowed: a folder"):
        stack_folder(brats, tmp_path / "all.nii.gz")
    for parent, sequence in ((p, name) for p in "ab" for name in SEQUENCES):
        save(tmp_path / "twice" / parent / "case" / f"case_{sequence}.nii.gz", volume(0))
    with pytest.raises(ValueError, match="several cases named case"):
        stack_folder(tmp_path / "twice", tmp_path / "out", progress=False)
