"""A folder of labelled cases with its data list, and a tiny network, for the tests of checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.networks.nets import BasicUNet

from tests.checks.sanity import SHAPES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four cases of three classes, the last one for validation."""
    data, rng = tmp_path / "data", np.random.RandomState(0)
    for name in ("images", "labels"):
        (data / name).mkdir(parents=True)
    for case in range(4):
        image = rng.randint(-200, 300, (20, 18, 16)).astype(np.int16)
        label = (image > 0).astype(np.uint8) + (image > 100)
        nib.save(nib.Nifti1Image(image, np.eye(4)), data / "images" / f"c{case}.nii.gz")
        nib.save(nib.Nifti1Image(label.astype(np.uint8), np.eye(4)), data / "labels" / f"c{case}.nii.gz")
    items = [{"image": f"images/c{k}.nii.gz", "label": f"labels/c{k}.nii.gz"} for k in range(4)]
    sections = {"unlabelled": [{"image": i["image"]} for i in items[:-1]], "training": items[:-1]}
    (data / "datalist.json").write_text(json.dumps({**sections, "validation": items[-1:]}))
    return data


@pytest.fixture
def network() -> Callable[..., BasicUNet]:
    """``network(in_channels, out_channels, width)``: a tiny BasicUNet, stride 16."""

    def make(in_channels: int = 1, out_channels: int = 1, width: int = 4) -> BasicUNet:
        return BasicUNet(3, in_channels, out_channels, (width,) * 6)

    return make


@pytest.fixture
def items(tmp_path: Path, write_nifti: Callable[..., Path]) -> list[dict[str, Any]]:
    """Three labelled cases for the sanity validation."""
    made = []
    for seed, (name, (shape, spacing)) in enumerate(SHAPES.items()):
        image = write_nifti(tmp_path / f"{name}.nii.gz", shape, seed, spacing)
        label = write_nifti(tmp_path / f"{name}_label.nii.gz", shape, seed, spacing, label_classes=3)
        made.append({"image": str(image), "label": str(label)})
    return made
