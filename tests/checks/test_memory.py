"""Estimates of memory and disk against hand-made numbers."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks.memory import CacheMemory, DiskSpace


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((10, 20, 30), np.int16), np.diag([2, 2, 4, 1])), path)
    return [{"image": str(path)}, {"image": str(path), "label": str(path)}]


@pytest.mark.parametrize(
    ("cases", "spacing", "channels", "rate", "expected"),
    [
        (2, None, 1, 1.0, 6000 * 4 * (1 + 2)),
        (2, (1.0, 2.0, 2.0), 1, 0.5, 4 * 6000 * 4 * 3 // 2),
        (1, None, 4, 1.0, 6000 * 4 * 4),
        (2, None, 1, 0.0, 0),
    ],
)
def test_cache_is_voxels_after_resampling_times_bytes_channels_and_rate(
    items: list[dict], cases: int, spacing: Any, channels: int, rate: float, expected: int
) -> None:
    assert CacheMemory(items[:cases], ["x"] * channels, spacing, rate).needed_bytes() == expected


def test_one_file_per_channel_counts_as_its_channels(items: list[dict]) -> None:
    path = items[0]["image"]
    several = [{"image": [path] * 4, "label": path}]
    assert CacheMemory(several, ["x"] * 4, None, 1.0).needed_bytes() == 6000 * 4 * (4 + 1)


def test_a_bad_spacing_is_refused(items: list[dict]) -> None:
    with pytest.raises(ValueError, match="spacing is .* three lengths above 0, in mm"):
        CacheMemory(items, ["CT"], (1.0, 0.0, 1.0), 0.0)()


def test_a_cache_that_does_not_fit_says_what_to_change(items: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_components.checks.memory.free_memory", lambda: 36_000)
    check = CacheMemory(items[:1], ["CT"], None, 0.5, validation_items=items[1:])
    assert check() == "cache 36 kB of 36 kB free"
    check.cache_rate = 1.0
    with pytest.raises(ValueError, match="would take 72 kB of memory, 36 kB are free; lower cache_rate to 0.5"):
        check()


def test_a_folder_that_cannot_take_the_weights_is_named(
    network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DiskSpace(network(), str(tmp_path / "not" / "yet"))()
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file"):
        DiskSpace(network(), str(tmp_path / "file" / "out"))()
    size = sum(p.numel() for p in network().parameters()) * 4
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * size))
    with pytest.raises(ValueError, match="ckpt_dir .* needs .* are free; choose another disk"):
        DiskSpace(network(), str(tmp_path / "models"))()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(network, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="is not writable"):
        DiskSpace(network(), str(tmp_path / "out"))()
