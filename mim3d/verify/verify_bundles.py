"""Packs bundles, or takes zips, and checks each package in a process of its own, as ``mim3d verify`` does."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from custom_components.atomic import write_json
from custom_components.config_text import check_no_hash
from mim3d.arguments import UsageError
from mim3d.catalog import ROOT
from mim3d.children import end_groups, start_child
from mim3d.download.unpack import unpack
from mim3d.package.folders import all_bundles, find_bundle
from mim3d.package.pack import package
from mim3d.verify.checks import CHECKS, GROUPS, HEAVY, select
from mim3d.verify.registry import Result

#: Packages that results may depend on; the report gives their versions.
PACKAGES = ("monai", "torch", "numpy", "onnx", "onnxruntime")


def list_checks(arguments: argparse.Namespace) -> None:
    """Print group and name of the checks that the arguments select."""
    for name in _selected(arguments):
        print(f"{CHECKS[name][0]:10} {name}")


def verify_all(arguments: argparse.Namespace) -> None:
    """Check the bundles, print a line per check, and write the report.

    Args:
        arguments: those of ``mim3d verify``.

    Raises:
        ValueError: for an unknown check or bundle, and for a temporary folder that MONAI cannot name.
        SystemExit: with status 1 if a check failed.
    """
    names, layers = _selected(arguments), arguments.layer
    given = [_bundle_or_zip(name) for name in arguments.bundles] or all_bundles()
    if arguments.schema and not arguments.schema.is_file():
        raise UsageError(f"--schema {arguments.schema} does not exist")
    if layers and any(path.is_file() for path in given):
        raise UsageError("--layer merges layers into what is packed; a zip is packed already")
    check_packages(given, names, layers, arguments.schema, arguments.report)


def _bundle_or_zip(name: str) -> Path:
    """Return a zip as a path, and the folder of a bundle otherwise."""
    return Path(name).resolve() if name.endswith(".zip") and Path(name).is_file() else find_bundle(name)


def check_packages(
    given: Sequence[Path],
    names: list[str],
    layers: Sequence[str] = (),
    schema: Path | None = None,
    report: Path | None = None,
) -> None:
    """Check bundles or zips, print a line per check, and write the report.

    Args:
        given: folders of bundles, which are packed first, or zips.
        names: names of the checks.
        layers: layers to merge into the packages.
        schema: the zoo's metadata schema, or None.
        report: file for the results as JSON; None: none.

    Raises:
        ValueError: for a temporary folder that MONAI cannot name.
        SystemExit: with status 1 if a check failed.
    """
    check_no_hash(tempfile.gettempdir(), "TMPDIR")
    others = sorted({bundle.name for bundle in [*all_bundles(), *given] if not bundle.is_file()})
    found: dict[str, list[Result]] = {}
    for bundle in given:
        print(f"{bundle.name}{' with ' + ', '.join(layers) if layers else ''}", flush=True)
        found[bundle.name] = []
        for result in verify(bundle, names, others, list(layers), schema):
            found[bundle.name].append(result)
            _show(result)
    failed = [f"{name}: {result.name}" for name, results in found.items() for result in results if not result.ok]
    if report:
        listed = {name: [result._asdict() for result in results] for name, results in found.items()}
        versions = {name: version(name) for name in PACKAGES}
        write_json(report, {"versions": versions, "layers": layers, "failed": failed, "bundles": listed})
    count = sum(map(len, found.values()))
    print(f"{count} checks of {len(given)} bundles, {len(failed)} failed", *failed, sep="\n  ")
    if failed:
        raise SystemExit(1)


def verify(
    bundle: Path, names: list[str], others: list[str], layers: list[str], schema: Path | None
) -> Iterator[Result]:
    """Pack one bundle, or unpack a zip, and yield the results of checks on the package.

    Args:
        bundle: the bundle's folder, or a zip.
        names: names of the checks.
        others: names of all bundles that are released together.
        layers: layers to merge into the package.
        schema: the zoo's metadata schema, or None.
    """
    with tempfile.TemporaryDirectory(prefix="verify_") as temporary:
        folder = Path(temporary)
        try:
            root = _unpacked(bundle, folder / "packed") if bundle.is_file() else None
            root = root or package(bundle, folder / "packed", layers=layers)[0]
        except (ValueError, OSError, KeyError) as error:
            yield Result("packing", False, " ".join(str(error).split()), 0.0)
            return
        (folder / "scratch").mkdir()
        job = {
            "root": str(root),
            "others": sorted({*others, root.name}),
            "scratch": str(folder / "scratch"),
            "schema": str(schema.resolve()) if schema else None,
            "forbidden": _forbidden_words(),
            "checks": names,
            "log": str(folder / "log.txt"),
        }
        yield from work(job, folder)


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack a zip into a new folder, with the zip beside it, as packing leaves them."""
    folder.mkdir()
    shutil.copy(archive, folder)
    return unpack(archive, folder)


def work(job: dict[str, Any], folder: Path) -> Iterator[Result]:
    """Run a job in a worker process and yield its results as they come.

    If the process dies, the check that it was at is reported as failed.

    Args:
        job: see ``mim3d.verify.worker``.
        folder: working folder of the process; it holds neither mim3d nor custom_components.
    """
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "mim3d.verify.worker", str(file)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    start, done = time.perf_counter(), 0
    process = start_child(command, cwd=folder, env=env, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        for line in process.stdout or ():
            done += 1
            yield Result(**json.loads(line))
        process.wait()
    except BaseException:
        end_groups([process])
        raise
    if process.returncode or done < len(job["checks"]):
        log = Path(job["log"])
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.is_file() else []
        name = job["checks"][min(done, len(job["checks"]) - 1)]
        note = f"the worker ended with exit status {process.returncode}: {' '.join(tail)[:300]}"
        yield Result(name, False, note, round(time.perf_counter() - start, 2))


def _selected(arguments: argparse.Namespace) -> list[str]:
    groups = [group for group in GROUPS if not (arguments.skip_exports and group in HEAVY)]
    return select(groups, arguments.only)


def _forbidden_words() -> list[str]:
    """Return this machine's names: repository, home folder, and the host unless its name is a plain word."""
    host = socket.gethostname()
    named = [host] if re.search(r"[-.\d]", host) and len(host) > 4 else []
    return [str(path) for path in (ROOT, Path.home()) if len(path.parts) > 2] + named


def _show(result: Result) -> None:
    """Print one line of the table."""
    width = max(map(len, CHECKS))
    state = "ok  " if result.ok else "FAIL"
    print(f"  {state} {result.name:{width}} {result.seconds:6.1f} s  {result.note}".rstrip(), flush=True)
