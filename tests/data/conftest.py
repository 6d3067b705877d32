"""Small NIfTI files, clean and odd, and a folder with a data list, for the tests of reading."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.data.list_files import touch, write_json

SHAPE = (12, 10, 8)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 2.5, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


@pytest.fixture
def values() -> np.ndarray:
    """One volume of distinct whole numbers."""
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """``write(name, values, affine, edit, kind)`` saves a file; ``edit`` changes the header as it is stored."""

    def make(
        name: str,
        values: np.ndarray,
        affine: np.ndarray | None = AFFINE,
        edit: Callable[[Any], object] | None = None,
        kind: type = nib.Nifti1Image,
    ) -> str:
        path = tmp_path / name
        image = kind(values, affine)
        plain = image.to_bytes()
        if edit:
            size = kind.header_class.template_dtype.itemsize
            header = kind.header_class(plain[:size], check=False)
            edit(header)
            plain = header.binaryblock + plain[size:]
        if name.lower().endswith(".gz"):
            plain = gzip.compress(plain)
        path.write_bytes(plain)
        return str(path)

    return make


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A folder with a list of every section; its files are no NIfTI."""
    touch(tmp_path, *(f"{n}.nii" for n in "abcdef"), "la.nii", "lb.nii")
    content = {
        "channels": ["CT"],
        "labels": {"0": "background"},
        "unlabelled": [{"image": "a.nii"}, {"image": "c.nii"}, {"image": "d.nii"}],
        "training": [{"image": "a.nii", "label": "la.nii"}],
        "validation": [{"image": "b.nii", "label": "lb.nii"}],
        "test": [{"image": ["e.nii", "f.nii"]}],
    }
    write_json(tmp_path / "datalist.json", content)
    return tmp_path
