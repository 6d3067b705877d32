"""``mim3d study``: compare training from scratch with fine-tuning over a grid."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mim3d.arguments import UsageError, number
from mim3d.catalog import ROOT

STUDIES = ROOT / "benchmarks" / "studies"
DESCRIPTION = """\
Run a study: a grid over methods, networks, config keys, label counts, seeds and budgets, on fixed test cases.

Each training is a plain monai.bundle run. Learning rates are chosen on validation cases. Writes report.html,
report.md and results.csv into --out. Repeat the command to continue an interrupted study."""
EXAMPLE = """\
examples:
  mim3d study phantoms_methods --dry_run
  mim3d study hippocampus_methods --dataset_dir DATA --devices cpu --parallel 2
  mim3d study mine.yaml --dataset_dir DATA --devices cuda:0 cuda:1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add("study", metavar="STUDY", help="a study file, or the name of one in benchmarks/studies")
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


def find_study(name: str) -> Path:
    """Return the path of a study: a file, or one of the shipped studies by its name.

    Raises:
        UsageError: if there is none.
    """
    for path in (Path(name), STUDIES / name, STUDIES / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in STUDIES.glob("*.yaml") if not path.stem.startswith("base")))
    raise UsageError(f"there is no study {name!r}; give a file, or one of: {known}")


def run(arguments: argparse.Namespace) -> None:
    """Run the study; every mistake in its file is one line on stderr."""
    file = find_study(arguments.study)
    if arguments.out is None:
        arguments.out = ROOT / "runs" / file.stem
    from mim3d.study.mistakes import StudyError
    from mim3d.study.run_study import run_study

    try:
        run_study(arguments, file)
    except StudyError as error:
        for line in error.mistakes:
            print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from None
