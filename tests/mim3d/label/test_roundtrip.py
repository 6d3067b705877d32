"""What the MONAI Label round trip checks and refuses; the round trip itself needs MONAI Label's environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

CI = Path(__file__).resolve().parents[2] / "ci"
LABELS = {"low": 1, "high": 2}


@pytest.fixture(scope="module")
def studies() -> Iterator[ModuleType]:
    sys.path.insert(0, str(CI))
    try:
        import label_studies

        yield label_studies
    finally:
        sys.path.remove(str(CI))
        sys.modules.pop("label_studies", None)


def volume(path: Path, voxels: Any, spacing: float = 2.0) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(voxels), np.diag([spacing, spacing, 3.0, 1.0])), path)
    return path


def test_every_seg_bundle_has_phantoms(studies: ModuleType) -> None:
    assert {folder.name for folder in studies.bundle_folders([])} == set(studies.KINDS)


def test_a_mask_on_the_studys_grid_passes_and_others_are_named(studies: ModuleType, tmp_path: Path) -> None:
    study = volume(tmp_path / "study.nii.gz", np.zeros((4, 5, 6, 2), np.int16))
    voxels = np.zeros((4, 5, 6), np.uint8)
    voxels[1:3, 1:3, 1:3] = 2
    mask = volume(tmp_path / "mask.nii.gz", voxels)
    assert "4 x 5 x 6, uint8" in studies.check_mask(mask, study, LABELS)
    for wrong, told in (
        (volume(tmp_path / "value.nii.gz", voxels + 1), r"values \[3\]"),
        (volume(tmp_path / "shape.nii.gz", voxels.transpose()), "shape"),
        (volume(tmp_path / "place.nii.gz", voxels, 2.5), "elsewhere.* 0.5 mm"),
    ):
        with pytest.raises(RuntimeError, match=told):
            studies.check_mask(wrong, study, LABELS)


def test_labels_get_the_values_that_the_bundle_writes(studies: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "labelsTr").mkdir()
    label = volume(tmp_path / "labelsTr" / "a.nii.gz", np.arange(4, dtype=np.uint8).reshape(4, 1, 1))
    assert studies.renumbered(label, {}) == label
    found = nib.load(studies.renumbered(label, studies.RENUMBERED["seg_brats"]))
    assert np.asanyarray(found.dataobj).ravel().tolist() == [0, 2, 1, 3]
    assert np.asanyarray(nib.load(label).dataobj).ravel().tolist() == [0, 1, 2, 3]


def test_weights_must_change_and_stay_flat(studies: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "model.pt"
    card = {"metric": {"val_mean_dice": 0.5}, "epoch": 2}
    path.with_name("model.card.json").write_text(json.dumps(card))
    before = {"a": torch.zeros(2), "b": torch.ones(2)}
    torch.save(before, path)
    with pytest.raises(RuntimeError, match="as before training"):
        studies.check_weights(tmp_path, before)
    torch.save({**before, "a": torch.ones(2)}, path)
    assert "1 of 2 tensors changed; val_mean_dice 0.5000 at epoch 2" in studies.check_weights(tmp_path, before)
    torch.save({"c": torch.ones(2)}, path)
    with pytest.raises(RuntimeError, match="other keys"):
        studies.check_weights(tmp_path, before)
    torch.save({"model": before}, path)
    with pytest.raises(RuntimeError, match="not flat"):
        studies.check_weights(tmp_path, before)


def test_only_a_folder_of_its_own_is_emptied(studies: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(SystemExit, match="^error: .*out is not empty and was not made by this script"):
        studies.fresh_folder(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").exists()
    made = studies.fresh_folder(tmp_path / "new")
    (made / "old.log").touch()
    assert [path.name for path in studies.fresh_folder(made).iterdir()] == [studies.MARKER]


def test_an_unknown_bundle_is_refused(studies: ModuleType) -> None:
    with pytest.raises(SystemExit, match="^error: 'seg_nothing' is no segmentation bundle; .*seg_btcv"):
        studies.bundle_folders(["seg_nothing"])
