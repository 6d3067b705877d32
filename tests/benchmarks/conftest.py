"""The benchmarks' tiny forms, run once each and read by several tests."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "pretrain_step": ["--features", "4", "4", "8", "8", "16", "4", "--size", "64", "32", "32", "--window", "32"],
    "mim_step": [
        *("--hidden", "24", "--mlp", "48", "--heads", "2", "--deep", "2", "16", "2"),
        *("--size", "48", "32", "32"),
    ],
}


class Measured(NamedTuple):
    """What one run left: its result, the folder it wrote to, what it printed."""

    result: dict[str, Any]
    folder: Path
    printed: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that read a run of a whole benchmark as slow."""
    for item in items:
        if "measured_benchmark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def run(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--device", "cpu", *map(str, args)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, timeout=300)


@pytest.fixture(scope="session")
def tiny() -> dict[str, list[str]]:
    return TINY


@pytest.fixture(scope="session")
def run_benchmark() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run


@pytest.fixture
def load_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A script as a module, for what needs no process of its own."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="session")
def measured_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Measured]:
    """One tiny run of a benchmark's default variants on the CPU."""

    @cache
    def measure(name: str) -> Measured:
        folder = tmp_path_factory.mktemp(name)
        written = "--out", folder / "result.json", "--table", folder / "table.md"
        done = run(name, *TINY[name], "--repeats", 2, "--threads", 1, *written)
        assert done.returncode == 0, done.stderr
        return Measured(json.loads((folder / "result.json").read_text()), folder, done.stdout)

    return measure
