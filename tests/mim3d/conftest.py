"""Bundles as packed, and the checks of ci/ to run on them."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.name for path in (ROOT / "bundles").glob("*/configs"))


@pytest.fixture(scope="module")
def ci():
    """The modules of ci/."""
    sys.path.insert(0, str(ROOT / "ci"))
    try:
        import bundle_checks
        import checks_metadata
        import package
        import verify_bundles

        verify_bundles.load_checks()
        yield SimpleNamespace(
            checks=bundle_checks, metadata=checks_metadata, package=package, verify=verify_bundles
        )
    finally:
        sys.path.remove(str(ROOT / "ci"))


@pytest.fixture(scope="module")
def quick_start():
    """The modules of the quick start and its report, by name."""
    names = (
        "quickstart_methods",
        "quickstart_arguments",
        "quickstart_data",
        "report_pictures",
        "report",
        "quickstart",
    )
    sys.path.insert(0, str(ROOT / "ci"))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(ROOT / "ci"))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def logging_as_before():
    """A bundle's logging.conf is applied when its workflow is made."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture(scope="module")
def schema(ci, tmp_path_factory):
    """A schema file, so that no test asks the internet."""
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    file.write_text(json.dumps(ci.metadata.own_schema()))
    return file


@pytest.fixture(scope="module")
def packages(ci, tmp_path_factory):
    """``packages(name)``: the folder of a packed bundle; made once."""
    out = tmp_path_factory.mktemp("packed")

    def packed(name):
        if not (out / name).is_dir():
            ci.package.package(ROOT / "bundles" / name, out)
        return out / name

    return packed


@pytest.fixture
def run(ci, schema, tmp_path):
    """``run(root, names, others)``: results of checks on a packed folder, in this process."""

    def checked(root, names, others=tuple(BUNDLES)):
        (tmp_path / "scratch").mkdir(exist_ok=True)
        words = [str(ROOT)]
        packed = ci.checks.Packed(root, list(others), tmp_path / "scratch", schema, words)
        return list(ci.checks.run_checks(packed, names))

    return checked


@pytest.fixture(scope="session")
def command():
    """``command(words)``: ci/verify_bundles.py run to its end, in processes of its own."""

    def ended(*words):
        line = [sys.executable, str(ROOT / "ci" / "verify_bundles.py"), *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=560, check=False)

    return ended
