"""Samples from the store equal those of the config's own chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.data.utils import set_rnd

from custom_components.store import cached_dataset
from tests.store.conftest import Item, MakeRecipe

#: Half a step of rounding: of 1 HU in a window of 425 HU; of a 65533th of the range, in standard deviations.
TOLERANCE = {"ct": 0.5 / 425 + 1e-6, "mr": 4e-4}
#: Two keys that CropForegroundd adds, and nobody reads.
FOREGROUND_KEYS = {"foreground_start_coord", "foreground_end_coord"}
Cases = Callable[[str], list[Item]]


def samples(dataset: Any, seed: int) -> list[dict[str, Any]]:
    set_rnd(dataset, seed)
    found = [dataset[index] for index in range(len(dataset)) for _ in range(2)]
    return [sample for one in found for sample in (one if isinstance(one, list) else [one])]


def plain(value: Any) -> np.ndarray:
    return (value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)).numpy()


@pytest.mark.parametrize("kind", ["ct", "mr"])
@pytest.mark.parametrize(
    ("crop", "roi"),
    [
        ("random", (16, 12, 20)),
        ("random", (64, 12, 40)),
        ("centre", (16, 40, 20)),
        ("classes", (16, 12, 14)),
        ("classes", (44, 12, 30)),
        (None, (16, 12, 40)),
    ],
)
def test_samples_equal_those_of_the_plain_chain(
    kind: str, crop: str | None, roi: tuple[int, int, int], make_recipe: MakeRecipe, cases: Cases, tmp_path: Path
) -> None:
    items = cases(kind)
    if crop in ("random", "centre"):
        items = [{key: item[key] for key in ("image", "volume_id")} for item in items]
    recipe = make_recipe(kind, roi, crop)
    store = recipe.store(tmp_path / "store", tmp_path / f"data_{kind}")
    expected = samples(CacheDataset(items, recipe.transform, progress=False), seed=7)
    found = samples(cached_dataset("store", store, items, recipe.transform), seed=7)
    assert len(expected) == len(found) > 0
    padded = 0
    for plain_sample, stored_sample in zip(expected, found, strict=True):
        assert plain_sample.keys() - FOREGROUND_KEYS == stored_sample.keys()
        assert plain_sample["files"] == stored_sample["files"]
        np.testing.assert_allclose(
            plain(stored_sample["image"]), plain(plain_sample["image"]), rtol=0, atol=TOLERANCE[kind]
        )
        tensors = {key: value for key, value in stored_sample.items() if isinstance(value, MetaTensor)}
        assert tensors.keys() == {key for key, value in plain_sample.items() if isinstance(value, MetaTensor)}
        for key, value in tensors.items():
            np.testing.assert_allclose(value.affine, plain_sample[key].affine, atol=1e-6)
        assert len({id(value.meta) for value in tensors.values()}) == len(tensors)
        if "label" in plain_sample:
            assert stored_sample["label"].dtype == plain_sample["label"].dtype
            np.testing.assert_array_equal(plain(stored_sample["label"]), plain(plain_sample["label"]))
        if "valid" in plain_sample:
            different = plain(stored_sample["valid"]) != plain(plain_sample["valid"])
            at_threshold = np.abs(plain(plain_sample["image"]) - 0.2) < 0.15  # after the random shift
            assert not (different & ~at_threshold).any()
            assert different.mean() < 0.002
            padded += int((plain(plain_sample["valid"]) == 0).sum())
    assert crop != "random" or padded > 0


def test_a_volume_without_foreground_is_all_padding(make_recipe: MakeRecipe, cases: Cases, tmp_path: Path) -> None:
    (item, _), recipe = cases("ct"), make_recipe("ct")
    image = nib.load(item["image"])
    nib.save(nib.Nifti1Image(np.full(image.shape, -1000, np.int16), image.affine), item["image"])
    items = [{"image": item["image"], "volume_id": 0}]
    store = recipe.store(tmp_path / "store", tmp_path / "data_ct")
    expected = samples(CacheDataset(items, recipe.transform, progress=False), seed=7)
    found = samples(cached_dataset("store", store, items, recipe.transform), seed=7)
    for plain_sample, sample in zip(expected, found, strict=True):
        assert not plain(sample["valid"]).any()
        np.testing.assert_array_equal(plain(sample["image"]), plain(plain_sample["image"]))
