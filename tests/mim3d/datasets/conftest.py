"""A folder to write a data list for, and files and a folder to stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.list_files import touch
from tests.mim3d.datasets.brats_files import SEQUENCES, label_values, save, volume


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten labelled images and one without a label."""
    for k in range(10):
        touch(tmp_path, f"images/c{k}.nii.gz", f"labels/c{k}.nii.gz")
    touch(tmp_path, "images/u0.nii.gz")
    return tmp_path


@pytest.fixture
def sequences(tmp_path: Path) -> list[str]:
    """One case as a file for each sequence."""
    return [save(tmp_path / "c" / f"{name}.nii.gz", volume(k)) for k, name in enumerate(SEQUENCES)]


@pytest.fixture
def brats(tmp_path: Path) -> Path:
    """Two labelled cases, one of them with plain .nii files, and one without label."""
    folder = tmp_path / "data"
    for number, suffix in enumerate(("nii.gz", "nii", "nii.gz")):
        case = f"BraTS2021_{number:05d}"
        for k, name in enumerate(SEQUENCES):
            save(folder / case / f"{case}_{name}.{suffix}", volume(10 * number + k))
        if number < 2:
            save(folder / case / f"{case}_seg.{suffix}", label_values(number))
    return folder
