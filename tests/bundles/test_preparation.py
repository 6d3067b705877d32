"""The shipped preparation on phantoms: equal to MONAI's, unchanged in the cache, of known size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Lambdad, Spacingd

from custom_components.data import AxisSpacingd
from mim3d.catalog import BUNDLES, TASKS
from mim3d.phantoms import write_phantoms
from tests.bundles.pretraining import parse

pytestmark = pytest.mark.slow
NAMES = sorted(path.name for path in BUNDLES.glob("*_*") if path.is_dir() and not path.name.startswith("_"))
KIND = {task.bundle.name: task.phantoms for task in TASKS.values()}
every_bundle = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``training(bundle, **changes)``: its train.yaml on three phantoms."""

    @cache
    def data(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        numbers = {"training": 2, "validation": 1, "test": 0, "unlabelled": 2}
        write_phantoms(folder, kind, size="tiny", progress=False, **numbers)
        return folder

    def make(name: str, **changes: Any) -> Any:
        folder = data(KIND.get(name, "abdomen_ct"))
        small = {"roi_size": [16, 16, 16], "patch_size": 8, "region_size": 16, "block_size": 16}
        known = {key: value for key, value in small.items() if key in parse(name).get()}
        quick = {"num_workers": 0, "cache_rate": 1.0, "batch_size": 2}
        return parse(name, dataset_dir=str(folder), **{**known, **quick, **changes})

    return make


def plain(value: Any) -> Any:
    return value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)


def frozen(value: Any) -> Any:
    """The content of a cached case, with the metadata and the history of its images, to compare."""
    if isinstance(value, dict):
        return {key: frozen(part) for key, part in value.items()}
    if isinstance(value, list):
        return [frozen(part) for part in value]
    if isinstance(value, MetaTensor):
        return plain(value).numpy().tobytes(), frozen(dict(value.meta)), frozen(value.applied_operations)
    return (value.tobytes(), value.shape) if isinstance(value, np.ndarray) else repr(value)


@every_bundle
def test_prepared_cases_equal_those_of_monais_spacingd(training: Callable[..., Any], name: str) -> None:
    parser = training(name, spacing=[2.3, 3.1, 2.9])
    ours = parser.get_parsed_content("deterministic_transforms")
    keys = [key for key in ("image", "label") if key in parser.get_parsed_content("items")[0]]
    modes = ["bilinear", "nearest"][: len(keys)]
    # Between two zeros, rounding errors of Spacingd give values of 1e-13, which seg_brats would take for brain.
    exact = Lambdad("image", lambda image: image.where(image.abs() > 1e-9, 0.0))
    spacing = Compose([Spacingd(keys, [2.3, 3.1, 2.9], mode=modes), exact])
    theirs = [spacing if isinstance(transform, AxisSpacingd) else transform for transform in ours]
    assert sum(isinstance(transform, AxisSpacingd) for transform in ours) == 1
    for item in parser.get_parsed_content("items"):
        found, expected = Compose(ours)(dict(item)), Compose(theirs)(dict(item))
        assert found["image"].shape == expected["image"].shape
        assert torch.allclose(found["image"].affine, expected["image"].affine, atol=1e-6)
        assert torch.allclose(plain(found["image"]), plain(expected["image"]), atol=1e-5)
        for key in set(found) & {"label", "valid"}:
            assert torch.equal(plain(found[key]), plain(expected[key]))


@every_bundle
def test_epochs_leave_the_cached_cases_unchanged(training: Callable[..., Any], name: str) -> None:
    """With ``copy_cache: false``, a transform that writes into its input would spoil the next epoch."""
    likely = {"flip_prob": 1.0 if name == "pretrain_simclr" else [1.0] * 3}
    parser = training(name, **likely)
    dataset, loader = (parser.get_parsed_content(f"train#{part}") for part in ("dataset", "dataloader"))
    assert not dataset.copy_cache
    before = [frozen(item) for item in dataset._cache]
    for _ in range(3):
        assert len(list(loader)) == 1
    assert len(before) == 2
    assert [frozen(item) for item in dataset._cache] == before


@every_bundle
def test_the_estimate_of_memory_is_that_of_the_cache(training: Callable[..., Any], name: str) -> None:
    parser = training(name)
    memory = parser.get_parsed_content("cache_memory")
    cached = [parser.get_parsed_content(f"{part}#dataset")._cache for part in ("train", "validate")]
    held = sum(
        array.nbytes
        for item in [*cached[0], *cached[1]]
        for value in item.values()
        for array in (value if isinstance(value, list) else [value])
        if hasattr(array, "nbytes")
    )
    assert held <= memory.upper_bound() * 1.05  # 5 %: sides are rounded, and padded to the crop
    prepared = sum(np.prod(item["image"].shape) * 4 for item in cached[0])
    whole = sum(memory._bound(item) for item in memory.items)
    assert prepared / whole == pytest.approx(memory.measured_share, abs=0.25)
