"""A folder to write a data list for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.list_files import touch


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten labelled images and one without a label."""
    for k in range(10):
        touch(tmp_path, f"images/c{k}.nii.gz", f"labels/c{k}.nii.gz")
    touch(tmp_path, "images/u0.nii.gz")
    return tmp_path
