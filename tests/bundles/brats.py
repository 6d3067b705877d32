"""What the tests of seg_brats share: meanings of label values, small brains, and a tiny view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

#: What a value means in each source's label files (as the data sets' pages have it): core, edema, enhancing.
SOURCES = {
    "msd_task01": {1: "edema", 2: "core", 3: "enhancing"},
    "brats2020": {1: "core", 2: "edema", 4: "enhancing"},
    "brats2021": {1: "core", 2: "edema", 4: "enhancing"},
    "brats2023": {1: "core", 2: "edema", 3: "enhancing"},
}
REGIONS = {
    "tumour core": ("core", "enhancing"),
    "whole tumour": ("core", "edema", "enhancing"),
    "enhancing tumour": ("enhancing",),
}
SEQUENCES = ["flair", "t1", "t1ce", "t2"]
TINY: dict[str, Any] = {
    "spacing": [8.0, 8.0, 8.0],
    "roi_size": [32, 32, 32],
    "architecture#features": [4, 4, 8, 8, 16, 4],
}
AFFINE = np.array([[0, -6.0, 0, 30], [-6.5, 0, 0, 40], [0, 0, 7.0, -50], [0, 0, 0, 1]])  # an axis order of its own


def write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


def brain(seed: int, values: tuple[int, int, int] = (1, 2, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Four sequences (24, 22, 20, 4) that are 0 outside a box, and a label of nested boxes."""
    rng = np.random.RandomState(seed)
    image = np.zeros((24, 22, 20, 4), np.int16)
    image[4:20, 4:18, 3:17] = rng.randint(100, 900, (16, 14, 14, 4))
    label = np.zeros(image.shape[:3], np.uint8)
    for value, margin in ((values[1], 0), (values[0], 2), (values[2], 3)):
        label[6 + margin : 18 - margin, 6 + margin : 16 - margin, 5 + margin : 15 - margin] = value
    image[label > 0] += 300
    return image, label
