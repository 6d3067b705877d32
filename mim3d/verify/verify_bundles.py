"""Check bundles as packed: what the model zoo, monai.bundle and MONAI Label ask of them.

    python ci/verify_bundles.py [BUNDLE ...] [--skip-exports] [--only CHECK] [--report FILE.json]

Each bundle is packed into a temporary folder and checked there, in a process that sees only the package's own
custom_components. One line per check: ok or FAIL, seconds, and what was found. Ends with 1 where anything failed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mim3d.package.contents import ROOT, all_bundles, find_bundle
from mim3d.package.pack import package
from mim3d.verify.registry import CHECKS, GROUPS, HEAVY, selected

MODULES = [
    f"checks_{name}"
    for name in ("files", "readme", "metadata", "configs", "workflows", "label", "network", "exports")
]
#: What results may depend on; the report gives their versions.
PACKAGES = ("monai", "torch", "numpy", "onnx", "onnxscript", "onnxruntime")
HELP = {
    "bundles": "names in bundles/, or folders (default: every bundle in bundles/)",
    "only": "run this check alone; may be given several times",
    "skip_exports": "quick pass: leave out what runs the network at its full size (network, exports)",
    "layer": "layer merged into what is packed, as in package.py: checks and exports another network",
    "schema": "file with the zoo's metadata schema, where the internet is not reachable",
    "report": "file for the results as JSON",
    "list": "print the checks and end",
}


def load_checks() -> None:
    """Import the modules that register checks."""
    for name in MODULES:
        importlib.import_module(name)


def forbidden_words() -> list[str]:
    """This machine's names, which no package may hold: the repository's folder, the home folder, the host."""
    host = socket.gethostname()
    named = [host] if re.search(r"[-.\d]", host) and len(host) > 4 else []
    return [str(path) for path in (ROOT, Path.home()) if len(path.parts) > 2] + named


def work(job: dict[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Results of a worker process as they come; one that dies is a failed check."""
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(Path(__file__).with_name("verify_worker.py")), str(file)]
    start, done = time.perf_counter(), []
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            done.append(json.loads(line))
            yield done[-1]
    if process.returncode or len(done) < len(job["checks"]):
        log = Path(job["log"])
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.is_file() else []
        name = job["checks"][min(len(done), len(job["checks"]) - 1)]
        note = f"the checks ended with code {process.returncode}: {' '.join(tail)[:300]}"
        yield {"name": name, "ok": False, "note": note, "seconds": round(time.perf_counter() - start, 2)}


def verify(
    bundle: Path, names: list[str], others: list[str], layers: list[str], schema: Path | None
) -> Iterator[dict]:
    """Pack one bundle and run checks on the package."""
    with tempfile.TemporaryDirectory(prefix="verify_") as temporary:
        folder = Path(temporary)
        try:
            root, _ = package(bundle, folder / "packed", layers=layers)
        except (ValueError, OSError, KeyError) as error:
            yield {"name": "packing", "ok": False, "note": " ".join(str(error).split()), "seconds": 0.0}
            return
        (folder / "scratch").mkdir()
        job = {
            "root": str(root),
            "others": others,
            "scratch": str(folder / "scratch"),
            "schema": str(schema.resolve()) if schema else None,
            "forbidden": forbidden_words(),
            "checks": names,
            "log": str(folder / "log.txt"),
        }
        yield from work(job, folder)


def show(result: dict[str, Any]) -> None:
    """One line of the table."""
    width = max(len(name) for name in CHECKS)
    state = "ok  " if result["ok"] else "FAIL"
    print(f"  {state} {result['name']:{width}} {result['seconds']:6.1f} s  {result['note']}".rstrip(), flush=True)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help=HELP["bundles"])
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help=HELP["only"])
    parser.add_argument("--skip-exports", action="store_true", help=HELP["skip_exports"])
    parser.add_argument("--layer", nargs="+", action="extend", default=[], metavar="NAME.yaml", help=HELP["layer"])
    parser.add_argument("--schema", type=Path, metavar="FILE", help=HELP["schema"])
    parser.add_argument("--report", type=Path, metavar="FILE.json", help=HELP["report"])
    parser.add_argument("--list", action="store_true", help=HELP["list"])
    return parser


def main(argv: list[str] | None = None) -> None:
    given = options().parse_args(argv)
    load_checks()
    groups = tuple(group for group in GROUPS if not (given.skip_exports and group in HEAVY))
    try:
        names = selected(groups, given.only)
        bundles = [find_bundle(name) for name in given.bundles] or all_bundles()
        if given.schema and not given.schema.is_file():
            raise ValueError(f"--schema {given.schema} does not exist")
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    if given.list:
        raise SystemExit("\n".join(f"{CHECKS[name][0]:10} {name}" for name in names))
    others = sorted({bundle.name for bundle in [*all_bundles(), *bundles]})
    found: dict[str, list[dict[str, Any]]] = {}
    for bundle in bundles:
        print(f"{bundle.name}{' with ' + ', '.join(given.layer) if given.layer else ''}", flush=True)
        found[bundle.name] = []
        for result in verify(bundle, names, others, given.layer, given.schema):
            found[bundle.name].append(result)
            show(result)
    results = [(name, result) for name, listed in found.items() for result in listed]
    failed = [f"{name}: {result['name']}" for name, result in results if not result["ok"]]
    if given.report:
        versions = {name: version(name) for name in PACKAGES}
        content = {"versions": versions, "layers": given.layer, "failed": failed, "bundles": found}
        given.report.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"{len(results)} checks of {len(bundles)} bundles, {len(failed)} failed", *failed, sep="\n  ")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
