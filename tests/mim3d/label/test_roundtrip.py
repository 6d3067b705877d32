"""What the MONAI Label round trip checks and refuses; the round trip itself needs MONAI Label's environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from mim3d.label.studies import (
    MARKER,
    RENUMBERED,
    bundle_folders,
    check_mask,
    check_weights,
    fresh_folder,
    make_studies,
    renumbered,
)

LABELS = {"low": 1, "high": 2}


def volume(path: Path, voxels: Any, spacing: float = 2.0) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(voxels), np.diag([spacing, spacing, 3.0, 1.0])), path)
    return path


@pytest.mark.slow
def test_studies_are_images_of_which_one_has_no_label(tmp_path: Path) -> None:
    (folder,) = bundle_folders(["seg_msd_hippocampus"])
    studies = make_studies(folder.name, tmp_path)
    images = {path.name for path in studies.folder.iterdir()}
    assert images == {f"{name}.nii.gz" for name in [*studies.labels, studies.unlabelled]}
    assert len(studies.labels) == 4
    assert all(label.is_file() for label in studies.labels.values())


def test_a_mask_on_the_studys_grid_passes_and_others_are_named(tmp_path: Path) -> None:
    study = volume(tmp_path / "study.nii.gz", np.zeros((4, 5, 6, 2), np.int16))
    voxels = np.zeros((4, 5, 6), np.uint8)
    voxels[1:3, 1:3, 1:3] = 2
    mask = volume(tmp_path / "mask.nii.gz", voxels)
    assert "4 x 5 x 6, uint8" in check_mask(mask, study, LABELS)
    for wrong, told in (
        (volume(tmp_path / "value.nii.gz", voxels + 1), r"values \[3\]"),
        (volume(tmp_path / "shape.nii.gz", voxels.transpose()), "shape"),
        (volume(tmp_path / "place.nii.gz", voxels, 2.5), "elsewhere.* 0.5 mm"),
    ):
        with pytest.raises(ValueError, match=told):
            check_mask(wrong, study, LABELS)


def test_labels_get_the_values_that_the_bundle_writes(tmp_path: Path) -> None:
    (tmp_path / "labelsTr").mkdir()
    label = volume(tmp_path / "labelsTr" / "a.nii.gz", np.arange(4, dtype=np.uint8).reshape(4, 1, 1))
    assert renumbered(label, {}) == label
    found = nib.load(renumbered(label, RENUMBERED["seg_brats"]))
    assert np.asanyarray(found.dataobj).ravel().tolist() == [0, 2, 1, 3]
    assert np.asanyarray(nib.load(label).dataobj).ravel().tolist() == [0, 1, 2, 3]


def test_weights_must_change_and_stay_flat(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "model.pt"
    card = {"metric": {"val_mean_dice": 0.5}, "epoch": 2}
    path.with_name("model.card.json").write_text(json.dumps(card))
    before = {"a": torch.zeros(2), "b": torch.ones(2)}
    torch.save(before, path)
    with pytest.raises(ValueError, match="has not changed in training"):
        check_weights(tmp_path, before)
    torch.save({**before, "a": torch.ones(2)}, path)
    assert "1 of 2 tensors changed; val_mean_dice 0.5000 at epoch 2" in check_weights(tmp_path, before)
    torch.save({"c": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="other keys"):
        check_weights(tmp_path, before)
    torch.save({"model": before}, path)
    with pytest.raises(ValueError, match="not flat"):
        check_weights(tmp_path, before)


def test_only_a_folder_of_its_own_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="out is not empty and was not made by mim3d label"):
        fresh_folder(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").exists()
    made = fresh_folder(tmp_path / "new")
    (made / "old.log").touch()
    assert [path.name for path in fresh_folder(made).iterdir()] == [MARKER]
