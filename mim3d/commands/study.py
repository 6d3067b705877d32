"""``mim3d study``: compare training from scratch with fine-tuning over a grid."""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

from mim3d.arguments import UsageError, number
from mim3d.catalog import ROOT

STUDIES = ROOT / "benchmarks" / "studies"
#: The claims of both papers. Each has a study on BTCV, and one on each data set that a CPU is enough for.
QUESTIONS = (
    "methods", "label_fraction", "mask_ratio", "patch_size", "decoder", "hybrid_terms", "resolution",
    "convergence", "schedule",
)  # fmt: skip
CPU_SETS = ("hippocampus", "phantoms")
DESCRIPTION = """\
Run a study: a grid over methods, networks, config keys, label counts, seeds and budgets, on fixed test cases.

Each training is a plain monai.bundle run. Learning rates are chosen on validation cases. Writes report.html,
report.md and results.csv into --out. Repeat the command to continue an interrupted study."""
EXAMPLE = """\
examples:
  mim3d study phantoms_methods --dry_run
  mim3d study hippocampus_methods --dataset_dir DATA --devices cpu --parallel 2
  mim3d study small_mask_ratio --on my_data.yaml --dataset_dir DATA
  mim3d study mine.yaml --dataset_dir DATA --devices cuda:0 cuda:1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add("study", metavar="STUDY", help="a study file, or the name of one in benchmarks/studies")
    add("--on", metavar="FILE", help="a file that describes data, or hippocampus, phantoms or btcv; replaces base")
    add("--out", type=Path, metavar="DIR", help="folder for all results (default: runs/<name of the study>)")
    add("--dataset_dir", type=Path, metavar="DIR", help="folder of the data; replaces that of the study")
    add(
        "--devices",
        nargs="+",
        default=[],
        metavar="DEVICE",
        help="cpu, or cuda:0 cuda:1 ... (default: every GPU, or else the CPU)",
    )
    add(
        "--parallel",
        type=number(whole=True, at_least=1),
        default=1,
        metavar="N",
        help="runs at a time on each device; the CPU cores are shared out (default: %(default)s)",
    )
    add("--budget", type=number(above=0), default=1.0, help="factor on all training steps (default: %(default)s)")
    add("--dry_run", action="store_true", help="check the study and print its plan; write nothing")
    add(
        "--time",
        action="store_true",
        help="first time steps of each network on this machine, to say how long the study takes",
    )


def find_study(name: str, on: str | None = None) -> tuple[Path, Path | None]:
    """Return the file of a study, and that of the data set it is applied to, if that is not its own.

    Args:
        name: a file, or a shipped study; hippocampus_methods is small_methods.yaml on base_hippocampus.yaml.
        on: a file with the keys of a data set, or the name of a shipped one.

    Raises:
        UsageError: if there is no such study or data set.
    """
    file = next((path for path in (Path(name), STUDIES / name, STUDIES / f"{name}.yaml") if path.is_file()), None)
    if file is None and on is None and name in _applied():
        return _applied()[name]
    if file is None:
        raise UsageError(f"there is no study {name!r}; give a file, or one of: {', '.join(shipped_studies())}")
    if on is None:
        if file.parent == STUDIES and file.stem.startswith("small_"):
            raise UsageError(f"study {name!r} names no data; add --on hippocampus, --on phantoms or --on FILE")
        return file, None
    for data in (Path(on), STUDIES / f"base_{on}.yaml"):
        if data.is_file():
            return file, data
    known = sorted(path.stem.removeprefix("base_") for path in STUDIES.glob("base_*.yaml"))
    raise UsageError(f"--on {on} is no file; give one, or one of: {', '.join(known)}")


def shipped_studies() -> list[str]:
    """Return the names of the shipped studies that name their data."""
    files = [path.stem for path in STUDIES.glob("*.yaml")]
    return sorted({*_applied(), *(name for name in files if not name.startswith(("base_", "small_")))})


def _applied() -> dict[str, tuple[Path, Path]]:
    """Return the studies that are a question applied to a data set, by name: their two files."""
    found = {}
    for data, question in product(CPU_SETS, QUESTIONS):
        own, small, full = (STUDIES / f"{start}{question}.yaml" for start in (f"{data}_", "small_", ""))
        if not own.is_file():
            found[own.stem] = small if small.is_file() else full, STUDIES / f"base_{data}.yaml"
    return found


def run(arguments: argparse.Namespace) -> None:
    """Run the study; every mistake in its file is one line on stderr."""
    file, on = find_study(arguments.study, arguments.on)
    from mim3d.study.mistakes import StudyError
    from mim3d.study.read import study_name
    from mim3d.study.run_study import run_study

    if arguments.out is None:
        arguments.out = ROOT / "runs" / study_name(file, on)
    try:
        run_study(arguments, file, on)
    except StudyError as error:
        for line in error.mistakes:
            print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from None
