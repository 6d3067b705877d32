"""What the runs of every segmentation bundle share: tasks, sizes and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from mim3d import catalog

Load = Callable[[Path], dict[str, Any]]
Same = Callable[[Any, Any], bool]
Run = Callable[..., ConfigWorkflow]
Folder = Callable[[str], Path]
TASKS = {task.bundle.name: task for task in catalog.TASKS.values()}
every_bundle = pytest.mark.parametrize("name", TASKS)
FEATURES = {"architecture#features": [4, 4, 8, 8, 16, 4]}
ONE_EPOCH = {"epochs": 1, "val_interval": 1}
#: The layers' networks, small. Swin's normalisation needs two cells at the bottom: 64 voxels, halved five times.
SMALL = {
    "segresnet.yaml": {"architecture#init_filters": 8},
    "swin_unetr.yaml": {"architecture#feature_size": 12, "roi_size": [64, 32, 32]},
    "unetr.yaml": {f"architecture#{k}": v for k, v in {"feature_size": 4, "hidden_size": 24}.items()}
    | {"architecture#mlp_dim": 48, "architecture#num_heads": 2},
}


def spacing(name: str) -> list[float]:
    """A coarse view, in mm, which is quick."""
    return [3.0 if TASKS[name].small else 8.0] * 3


def view(name: str) -> dict[str, Any]:
    return {"spacing": spacing(name), "roi_size": [32, 32, 32]}


def places(data: Path, out: Path) -> dict[str, str]:
    return {"dataset_dir": str(data), "ckpt_dir": str(out / "models"), "output_dir": str(out / "eval")}


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)
