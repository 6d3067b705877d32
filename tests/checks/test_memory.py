"""Estimates of memory and disk against hand-made numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.checks.memory import CacheMemory, DiskSpace


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((10, 20, 30), np.int16), np.diag([2, 2, 4, 1])), path)
    return [{"image": str(path)}, {"image": str(path), "label": str(path)}]


@pytest.mark.parametrize(
    ("cases", "spacing", "channels", "indices", "expected"),
    [
        (2, None, 1, 0, 2 * 6000 * (4 + 1)),
        (2, (1.0, 2.0, 2.0), 1, 0, 2 * 4 * 6000 * (4 + 1)),
        (1, None, 4, 0, 6000 * (16 + 1)),
        (2, None, 1, 100, 2 * 6000 * (4 + 1) + 100 * 8),  # only one case has a label
        (2, None, 1, 10**6, 2 * 6000 * (4 + 1) + 6000 * 8),
    ],
)
def test_the_upper_bound_is_voxels_after_resampling_times_bytes(
    items: list[dict], cases: int, spacing: Any, channels: int, indices: int, expected: int
) -> None:
    check = CacheMemory(items[:cases], ["x"] * channels, spacing, 1.0, index_voxels=indices)
    assert check.upper_bound() == expected


def test_one_file_per_channel_counts_as_its_channels(items: list[dict]) -> None:
    path = items[0]["image"]
    several = [{"image": [path] * 4, "label": path}]
    assert CacheMemory(several, ["x"] * 4, None, 1.0).upper_bound() == 6000 * (16 + 1)


def test_a_bad_spacing_is_refused(items: list[dict]) -> None:
    with pytest.raises(ValueError, match="spacing is .* three lengths above 0, in mm"):
        CacheMemory(items, ["CT"], (1.0, 0.0, 1.0), 0.0)()


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``free(bytes)``: so much memory is free from now on."""
    return lambda size: monkeypatch.setattr("custom_components.checks.memory.free_memory", lambda: size)


def test_a_cache_that_does_not_fit_says_what_to_change(items: list[dict], free: Callable[[int], None]) -> None:
    free(36_000)
    check = CacheMemory(items[:1], ["CT"], None, 0.5, validation_items=items[1:])
    assert check() == "cache at most 30 kB for 50% of the volumes, 36 kB free"
    check = CacheMemory(items, ["CT"], None, 1.0)
    with pytest.raises(ValueError, match="would take 60 kB of memory, 36 kB are free; lower cache_rate to 0.6"):
        check()


def crop(item: dict) -> dict:
    """What a case of 30 kB at most becomes: 6 kB of image, and a label of 1.2 kB."""
    return {"image": torch.zeros(1, 10, 15, 10), "label": np.zeros((10, 12, 10), np.uint8), "files": item["image"]}


def test_only_a_cache_that_may_not_fit_is_measured(items: list[dict], free: Callable[[int], None]) -> None:
    calls: list[str] = []

    def prepare(item: dict) -> dict:
        calls.append(item["image"])
        return crop(item)

    free(60_000)
    check = CacheMemory(items, ["CT"], None, 1.0, transforms=[prepare])
    assert check() == "cache at most 60 kB, 60 kB free"
    assert not calls
    free(20_000)
    assert check() == "cache at most 14.4 kB, 20 kB free"  # 2 x 7.2 kB
    assert len(calls) == 2
    free(14_000)
    with pytest.raises(ValueError, match="would take 14.4 kB of memory, 14 kB are free; lower cache_rate to 0.97"):
        check()


@pytest.mark.parametrize(
    ("size", "transforms", "rate"),
    [
        (120_000, None, 1.0),  # the upper bound fits into one half
        (119_000, None, 59.5 / 60),
        (30_000, [crop], 1.0),  # what is measured fits into one half
        (14_400, [crop], 0.5),
    ],
)
def test_without_a_rate_as_many_volumes_as_take_half_of_the_memory_are_cached(
    items: list[dict], free: Callable[[int], None], size: int, transforms: Any, rate: float
) -> None:
    free(size)
    check = CacheMemory(items, ["CT"], None, None, transforms=transforms)
    assert check.rate == pytest.approx(rate)
    free(0)  # the rate stays the same once the cache has taken its memory
    assert check.rate == pytest.approx(rate)


def test_an_empty_list_is_cached_whole() -> None:
    assert CacheMemory([], ["CT"], None).rate == 1.0


def test_a_folder_that_cannot_take_the_weights_is_named(
    network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DiskSpace(network(), str(tmp_path / "not" / "yet"))()
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file"):
        DiskSpace(network(), str(tmp_path / "file" / "out"))()
    size = sum(p.numel() for p in network().parameters()) * 4
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 * size))
    DiskSpace(network(), str(tmp_path / "models"))()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=9 * size))
    with pytest.raises(ValueError, match="ckpt_dir .* needs .* are free; choose another disk"):
        DiskSpace(network(), str(tmp_path / "models"))()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(network, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="is not writable"):
        DiskSpace(network(), str(tmp_path / "out"))()
