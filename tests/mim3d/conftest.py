"""Bundles as packed, and checks to run on them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mim3d.catalog import BUNDLES
from mim3d.package.folders import all_bundles
from mim3d.package.pack import package
from mim3d.verify.checks_metadata import own_schema
from mim3d.verify.packed import Packed
from mim3d.verify.registry import Result, run_checks

ROOT = Path(__file__).resolve().parents[2]
NAMES = [bundle.name for bundle in all_bundles()]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a bundle's logging.conf does when its workflow is made."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``packages(name)``: the folder of a packed bundle; made once."""
    out = tmp_path_factory.mktemp("packed")

    def packed(name: str) -> Path:
        if not (out / name).is_dir():
            package(BUNDLES / name, out)
        return out / name

    return packed


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[Result]]:
    """``run(root, names, others)``: results of checks on a packed folder, in this process and without internet."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(own_schema()))

    def checked(root: Path, names: list[str], others: Sequence[str] = tuple(NAMES)) -> list[Result]:
        (tmp_path / "scratch").mkdir(exist_ok=True)
        return list(run_checks(Packed(root, list(others), tmp_path / "scratch", schema, [str(ROOT)]), names))

    return checked


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``command("verify", ...)``: a mim3d command in a process of its own."""

    def ended(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "mim3d", *words]
        return subprocess.run(line, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=1500, check=False)

    return ended
