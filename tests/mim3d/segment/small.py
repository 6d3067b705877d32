"""What the tests of ``mim3d segment`` share: small volumes, a tiny network, and what a call left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.bundle import ConfigWorkflow

from mim3d.catalog import BUNDLES

HIPPOCAMPUS = BUNDLES / "seg_msd_hippocampus"
SMALL: dict[str, Any] = {"roi_size": [32] * 3, "architecture#features": [4, 4, 8, 8, 16, 4], "device": "cpu"}
#: The same on a command line.
KEYS = {key: str(value).replace(" ", "") for key, value in SMALL.items()}
SHAPE = (20, 24, 18)
AFFINE = np.array([[0, 1.2, 0, 11], [-1.0, 0, 0, 5], [0, 0, 1.5, -40], [0, 0, 0, 1]])
Segment = Callable[..., tuple[int, str]]


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def image_of(data: np.ndarray, kind: type = nib.Nifti1Image) -> Any:
    image = kind(data, AFFINE)
    image.set_sform(AFFINE, 4)
    image.set_qform(AFFINE, 1)
    return image


def write(path: Path, data: np.ndarray | None = None, kind: type = nib.Nifti1Image) -> Path:
    """A volume with codes of its own for sform and qform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image_of(voxels() if data is None else data, kind).to_filename(path)
    return path


def workflow(bundle: Path, **keys: Any) -> ConfigWorkflow:
    """The inference.yaml of a bundle, initialised."""
    files = [str(bundle / "configs" / "inference.yaml")]
    made = ConfigWorkflow(files, workflow_type="infer", logging_file=False, bundle_root=str(bundle), **keys)
    made.initialize()
    return made


def masks(folder: Path) -> dict[str, np.ndarray]:
    """Voxels of each volume in a folder, by its path there."""
    return {
        str(path.relative_to(folder)): np.asanyarray(nib.load(path).dataobj)
        for path in sorted(folder.rglob("*.nii.gz"))
    }


def rows(text: str) -> dict[str, list[str]]:
    """Case -> result, seconds and reason of the table."""
    table = text.split("\ncase ")[1].split("\nerror: ")[0].splitlines()[1:]
    return {row[0]: row[1:] for line in table if len(row := line.split(maxsplit=3)) == 4}
