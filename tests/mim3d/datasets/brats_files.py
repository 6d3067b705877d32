"""Small files as BraTS has them: a sequence each, and a label."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (12, 10, 8)
SEQUENCES = ("flair", "t1", "t1ce", "t2")
AFFINE = np.array([[-1.0, 0.1, 0, 30], [0.1, -1.2, 0, 20], [0, 0, 2, -7], [0, 0, 0, 1]])


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=3)
    nib.save(image, path)
    return str(path)


def volume(seed: int, dtype: type = np.int16) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 2000, SHAPE).astype(dtype)


def label_values(seed: int) -> np.ndarray:
    """Values as BraTS 2020 and 2021 write them: 0, 1, 2, 4."""
    return np.array([0, 1, 2, 4], np.uint8)[volume(seed) % 4]
