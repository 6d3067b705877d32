"""Estimates of memory and disk against hand-made numbers."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.checks.memory import check_disk, check_memory, estimate_cache_bytes
from custom_components.checks.volumes import check_images


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((10, 20, 30), np.int16), np.diag([2, 2, 4, 1])), path)
    return [{"image": str(path)}, {"image": str(path), "label": str(path)}]


def test_cache_is_voxels_after_resampling_times_bytes_channels_rate_and_ranks(items: list[dict]) -> None:
    assert estimate_cache_bytes(items, None, 1, 1.0) == 6000 * 4 * (1 + 2)
    assert estimate_cache_bytes(items, (1.0, 2.0, 2.0), 1, 0.5, ranks=2) == 4 * 6000 * 4 * 3
    assert estimate_cache_bytes(items[:1], None, 4, 1.0) == 6000 * 4 * 4
    assert estimate_cache_bytes(items, None, 1, 0.0) == 0


def test_one_file_per_channel_counts_as_its_channels(items: list[dict]) -> None:
    path = items[0]["image"]
    several = [{"image": [path] * 4, "label": path}]
    assert estimate_cache_bytes(several, None, 4, 1.0) == 6000 * 4 * (4 + 1)
    headers = check_images(several, 4, progress=False)
    assert estimate_cache_bytes(several, None, 4, 1.0, headers=headers) == 6000 * 4 * (4 + 1)


def test_bad_rate_and_spacing_are_refused(items: list[dict]) -> None:
    with pytest.raises(ValueError, match="cache_rate is 1.5; allowed: 0 to 1"):
        estimate_cache_bytes(items, None, 1, 1.5)
    with pytest.raises(ValueError, match="spacing is .* three lengths above 0, in mm"):
        estimate_cache_bytes(items, (1.0, 0.0, 1.0), 1, 0.5)


def test_a_cache_that_does_not_fit_says_what_to_change() -> None:
    with pytest.raises(ValueError, match="8.0 GB of memory, 2.0 GB are free; lower cache_rate .*0.25"):
        check_memory(8 * 10**9, 2 * 10**9)
    check_memory(10, 11)
    check_memory(0)


def test_an_output_folder_that_cannot_take_it_is_named(tmp_path: Path) -> None:
    check_disk(tmp_path / "not" / "yet", 1)
    assert not (tmp_path / "not").exists()
    with pytest.raises(ValueError, match="needs .* are free; choose another disk"):
        check_disk(tmp_path, 10**18)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file"):
        check_disk(tmp_path / "file" / "out", 1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="is not writable"):
        check_disk(tmp_path / "out", 1)
