"""What feeding.py measures: synthetic CT on disk, and a dataset for each kind of cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.dataset import CacheDataset, Dataset, PersistentDataset
from monai.transforms.croppad.dictionary import RandSpatialCropSamplesd
from scipy.ndimage import gaussian_filter

from custom_components.store import cached_dataset
from mim3d.catalog import BUNDLES
from mim3d.segment.config import build_workflow

BUNDLE = BUNDLES / "pretrain_hybridmim"
VARIANTS = {
    "cached": "cache: ram, cache_rate 1.0: every volume in memory",
    "cached and copied": "MONAI's CacheDataset with its default, a copy of the volume for each item",
    "quarter cached": "cache: ram, cache_rate 0.25: the others are read each time",
    "PersistentDataset": "MONAI's PersistentDataset: prepared volumes on disk, read whole",
    "store npy": "cache: store, store_format: npy",
    "store blosc2": "cache: store, store_format: blosc2",
}


def write_phantom(path: Path, seed: int, shape: tuple[int, int, int]) -> None:
    """Write a CT: a table, a body of smooth tissue with bones, air around it, and scanner noise."""
    rng = np.random.default_rng(seed)
    d, h, w = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    body = (d[:, None, None] / 0.85) ** 2 + (h[None, :, None] / 0.62) ** 2 + 0.05 * w[None, None, :] ** 2 < 1
    coarse = gaussian_filter(rng.standard_normal([side // 8 for side in shape], dtype=np.float32), 1.5)
    grown = torch.nn.functional.interpolate(
        torch.from_numpy(coarse / coarse.std())[None, None], shape, mode="trilinear"
    )
    tissue = grown[0, 0].numpy()
    values = np.where(body, 40 + 45 * tissue + 600 * (tissue > 2.2), np.float32(-1000))
    values[:, int(0.9 * shape[1]) : int(0.92 * shape[1])] = 100
    values += 12 * rng.standard_normal(shape, dtype=np.float32)
    image = nib.Nifti1Image(values.round().clip(-1024, 3071).astype(np.int16), np.diag([0.75, 0.75, 2.5, 1]))
    nib.save(image, path)


def parsed(folder: Path, **keys: Any) -> Any:
    """Return the config with these keys, as ``monai.bundle run`` holds it."""
    keys = {
        "dataset_dir": str(folder / "data"),
        "store_dir": str(folder / f"store_{keys.get('store_format')}"),
        **keys,
    }
    fixed = {"holdout": 0, "include_label_like": True, "num_workers": 0, "probe_interval": None}
    files = [BUNDLE / "configs" / "train.yaml"]
    return build_workflow(files, "train", bundle_root=str(BUNDLE), **{**fixed, **keys}).parser


def make_datasets(folder: Path, names: Sequence[str]) -> dict[str, Dataset]:
    """Return the dataset of each variant."""
    parser = parsed(folder)
    items = list(parser.get_parsed_content("rank_items"))
    transform = parser.get_parsed_content("train#preprocessing")
    store = parser.get_parsed_content("store")  # of no use to these variants
    found: dict[str, Dataset] = {
        "cached": cached_dataset("ram", store, items, transform),
        "cached and copied": CacheDataset(items, transform, progress=False),
        "quarter cached": cached_dataset("ram", store, items, transform, cache_rate=0.25),
        "PersistentDataset": PersistentDataset(items, transform, cache_dir=folder / "persistent"),
    }
    for name in names:
        if name.startswith("store"):
            changed = parsed(folder, cache="store", store_format=name.split()[1])
            found[name] = changed.get_parsed_content("train#dataset")
    return {name: found[name] for name in names}


def set_samples(dataset: Any, number: int) -> None:
    """Let a dataset cut so many crops from each volume."""
    for transform in dataset.transform.transforms:
        crop = transform.chain.crop if hasattr(transform, "chain") else transform
        if isinstance(crop, RandSpatialCropSamplesd):
            crop.cropper.num_samples = number


def files_of(variant: str, folder: Path) -> list[Path]:
    """Return the files that a variant keeps on disk."""
    place = "persistent" if variant == "PersistentDataset" else f"store_{variant.split()[-1]}"
    return [path for path in (folder / place).rglob("*") if path.is_file()]
