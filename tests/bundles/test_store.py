"""Shipped configs give the same samples from memory, from the store, and without a cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data.utils import set_rnd

SMALL = {"num_workers": 0, "roi_size": [32, 32, 32], "num_samples": 2}
CT_WINDOW = {
    "channels": ["CT"],
    "intensity": {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -175.0,
        "a_max": 250.0,
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    },
    "select_foreground": "$monai.transforms.utils.is_positive",
}
#: Per bundle (what follows its name tells two apart): layers, channels of a case, number of classes (None:
#: images only), keys, and the largest difference: half a step of rounding in the unit of the network's input.
KINDS: dict[str, tuple[list[str], int, int | None, dict[str, Any], float]] = {
    "pretrain_hybridmim": ([], 1, None, {"spacing": [2.0, 2.0, 2.0], "holdout": 1}, 0.5 / 425),
    "pretrain_mae": (["task_brats.yaml"], 4, None, {"holdout": 1}, 1e-4),
    "pretrain_simmim": ([], 1, None, {"spacing": [2.0, 2.0, 2.0], "holdout": 1}, 0.5 / 425),
    "pretrain_simclr": (["task_msd_hippocampus.yaml"], 1, None, {"holdout": 1}, 1e-4),
    "seg_btcv": ([], 1, 14, {"spacing": [2.0, 2.0, 2.0]}, 0.5 / 425),
    "seg_msd_hippocampus": ([], 1, 3, {}, 1e-4),
    "seg_msd_liver": ([], 1, 3, {"spacing": [2.0, 2.0, 2.0]}, 0.5 / 450),
    "seg_msd_spleen": ([], 1, 2, {"spacing": [2.0, 2.0, 2.0]}, 0.5 / 425),
    "seg_custom": ([], 1, 2, {}, 1e-4),
    "seg_custom as planned for CT": ([], 1, 2, CT_WINDOW, 0.5 / 425),
    "seg_brats": ([], 4, 4, {"label_source": "brats2023"}, 1e-4),
}


def write_data(folder: Path, write_nifti: Callable[..., Path], channels: int, classes: int | None) -> None:
    """Write four cases with a border that is no foreground."""
    for number in range(4):
        shape = (50, 44, 36) if number % 2 else (24, 60, 20)
        image = folder / "imagesTr" / f"case_{number}.nii.gz"
        write_nifti(image, (*shape, channels) if channels > 1 else shape, seed=number, spacing=(1.2, 1.0, 1.5))
        stored: Any = nib.load(image)
        voxels = np.full(stored.shape, 0 if channels > 1 else -1000, np.int16)
        inside = tuple(slice(4, side - 4) for side in shape)
        voxels[inside] = np.asarray(stored.dataobj)[inside]
        nib.save(nib.Nifti1Image(voxels, stored.affine), image)
        if classes:
            name = folder / "labelsTr" / f"case_{number}.nii.gz"
            write_nifti(name, shape, seed=number, spacing=(1.2, 1.0, 1.5), label_classes=classes)


def samples(made: ConfigWorkflow, part: str) -> list[dict[str, Any]]:
    dataset = made.parser.get_parsed_content(f"{part}#dataset")
    set_rnd(dataset, 5)
    found = [dataset[index] for index in range(len(dataset))]
    return [sample for one in found for sample in (one if isinstance(one, list) else [one])]


def values(tensor: torch.Tensor) -> np.ndarray:
    return torch.as_tensor(tensor).numpy().astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", list(KINDS))
def test_every_cache_gives_the_same_samples(
    bundle: str, build_bundle: Callable[..., ConfigWorkflow], write_nifti: Callable[..., Path], tmp_path: Path
) -> None:
    layers, channels, classes, keys, tolerance = KINDS[bundle]
    data = tmp_path / "data"
    write_data(data, write_nifti, channels, classes)
    if classes:
        ids = {"training": ["case_0", "case_1"], "validation": ["case_2", "case_3"]}
        (tmp_path / "split.json").write_text(str(ids).replace("'", '"'))
        keys = {**keys, "split": str(tmp_path / "split.json")}
    found = {}
    for cache in ("ram", "none", "store"):
        made = build_bundle(
            bundle.split()[0], ["train.yaml", *layers], dataset_dir=str(data), cache=cache, **SMALL, **keys
        )
        made.initialize()
        made.parser.get_parsed_content("checks#store")()
        found[cache] = samples(made, "train") + samples(made, "validate")
    assert len(list((data / "mim3d_store" / "images").iterdir())) == 4
    for cache in ("none", "store"):
        assert len(found[cache]) == len(found["ram"]) > 0
        for expected, sample in zip(found["ram"], found[cache], strict=True):
            for key in ("image", "image_2", "label", "valid", "valid_2", "mask"):
                assert (key in expected) == (key in sample)
                if key in expected:
                    moved = cache == "store" and key.startswith("image")
                    apart = np.abs(values(sample[key]) - values(expected[key])).max()
                    assert apart <= (tolerance + 2e-6 if moved else 0)
