"""A config-only package of each bundle, and phantoms to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.catalog import TASKS
from mim3d.package.pack import package
from mim3d.phantoms import write_phantoms


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """``packed(bundle)``: the folder of its config-only package; made once."""
    out = tmp_path_factory.mktemp("config_only")

    def pack(bundle: Path) -> Path:
        folder = out / f"config_only_{bundle.name}"
        return folder if folder.is_dir() else package(bundle, out, config_only=True)[0]

    return pack


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of the hippocampus with a data list."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    sections = {"training": 3, "validation": 2, "test": 1, "unlabelled": 0}
    write_phantoms(folder, TASKS["msd_hippocampus"].phantoms, size="tiny", progress=False, **sections)
    return folder
