"""``mim3d segment --weights NAME``: published weights bring their layers and keys."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet

from mim3d.cli import main
from tests.loopback import entry, publish

BUNDLE, NAME = "seg_msd_hippocampus", "hippocampus/seg_msd_hippocampus"
KEYS = {"architecture#features": [4, 4, 8, 8, 16, 4]}


def mask(out: Path) -> np.ndarray:
    return np.asarray(nib.load(out / "case_seg.nii.gz").dataobj)


def test_a_name_segments_as_its_file_with_its_keys_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    voxels = np.random.default_rng(0).normal(100, 20, (20, 24, 18)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "case.nii.gz")
    folder = tmp_path / "p" / "weights" / NAME
    folder.mkdir(parents=True)
    torch.save(BasicUNet(3, 1, 3, KEYS["architecture#features"]).state_dict(), folder / "model.pt")
    files = {"model.pt": (folder / "model.pt").read_bytes()}
    publish(monkeypatch, tmp_path / "p", {NAME: entry(files, BUNDLE, keys=KEYS)}, {"hippocampus": NAME})
    start = ["segment", BUNDLE, str(tmp_path / "case.nii.gz"), "--device", "cpu", "--out"]
    main([*start, str(tmp_path / "named"), "--weights", "hippocampus"])
    given = ["--weights", str(folder / "model.pt"), "--architecture#features", "[4,4,8,8,16,4]"]
    main([*start, str(tmp_path / "given"), *given])
    assert np.array_equal(mask(tmp_path / "named"), mask(tmp_path / "given"))
    assert len(np.unique(mask(tmp_path / "named"))) > 1
    with pytest.raises(SystemExit):  # a key of the command line comes before that of the registry
        main([*start, str(tmp_path / "other"), "--weights", NAME, "--architecture#features", "[8,8,8,8,16,4]"])
