"""A tree to pack and the command that packs; a config-only package of each bundle, and phantoms to run it on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.catalog import ROOT, TASKS
from mim3d.cli import main
from mim3d.package.pack import package
from mim3d.phantoms import write_phantoms
from tests.mim3d.package.pack_tree import BUNDLE


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


@pytest.fixture
def pack_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``pack_command(*words)``: exit status of ``mim3d package`` and what it wrote to stderr."""

    def run(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        try:
            main(["package", *map(str, words)])
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return status, capsys.readouterr().err

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """``tree(name)``: a copy of one bundle and of custom_components, with other times and permissions."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        left_out = shutil.ignore_patterns("__pycache__", "eval", "*.pt", "*.card.json")
        shutil.copytree(ROOT / "bundles" / BUNDLE, folder / "bundles" / BUNDLE, ignore=left_out)
        shutil.copytree(ROOT / "custom_components", folder / "custom_components", ignore=left_out)
        for number, path in enumerate(sorted(folder.rglob("*"), key=lambda p: (len(name), str(p)))):
            os.utime(path, (10**9 + number * len(name), 10**9 + number))
            if path.is_file():
                path.chmod(0o600 if len(name) % 2 else 0o664)
        return folder

    return make
