"""``mim3d quickstart``: the main job, small. ``ci/quickstart.sh`` installs what it needs and calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import number
from mim3d.catalog import METHODS, NARROW, ROOT
from mim3d.quickstart.choice import choose

DESCRIPTION = """\
Pretrain on unlabelled volumes, fine-tune on labelled ones, train from scratch with the same settings, evaluate
both on held-out volumes, segment a new volume, and write report.html.

Runs the shipped configs with their smoke layers and a narrow network, for a CPU. Without
--dataset_dir it writes phantoms (synthetic CT volumes) or downloads the hippocampus data."""
EXAMPLE = """\
examples:
  mim3d quickstart
  mim3d quickstart --method mae --backbone unetr_patch8 --out runs/mae
  mim3d quickstart --dataset_dir DATA --spacing 3 3 4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add("--method", choices=tuple(METHODS), default="hybridmim", help="pretraining method (default: %(default)s)")
    add("--backbone", choices=tuple(NARROW), help="network (default: the method's own)")
    add(
        "--data",
        choices=("phantoms", "hippocampus"),
        default="phantoms",
        help="what to run on: phantoms, or the Medical Segmentation Decathlon's Task04 (default: %(default)s)",
    )
    add(
        "--dataset_dir",
        type=Path,
        metavar="DIR",
        help="your own volumes (decathlon layout, or images beside labels); or Task04 for --data hippocampus",
    )
    add(
        "--spacing",
        type=number(above=0),
        nargs=3,
        metavar="MM",
        help="voxel size in mm at which volumes are read (default: 4 4 4 for your own, else that of the configs)",
    )
    add(
        "--out",
        type=Path,
        default=ROOT / "runs" / "quickstart",
        metavar="DIR",
        help="folder for all results (default: runs/quickstart in the repository)",
    )
    add("--overwrite", action="store_true", help="replace --out if an earlier quick start made it")
    add(
        "--seed",
        type=number(whole=True, at_least=0),
        default=0,
        help="seed of data and runs (default: %(default)s)",
    )
    add("--budget", type=number(above=0), default=1.0, help="factor on all training steps (default: %(default)s)")
    add(
        "--cases",
        type=number(whole=True, at_least=6),
        metavar="N",
        help="number of phantoms, shared out over the sections (default: 33, of which 18 are unlabelled)",
    )
    add(
        "--size",
        choices=("tiny", "small", "full"),
        default="small",
        help="voxel size of phantoms: about 5, 3 or 1.3 mm (default: %(default)s)",
    )
    add(
        "--check_arguments",
        action="store_true",
        help="check the command line and stop; ci/quickstart.sh does so before it installs anything",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check that method and network go together, then run every step."""
    choice = choose(arguments.method, arguments.backbone)
    if arguments.check_arguments:
        return
    from mim3d.quickstart.steps import run_all

    run_all(arguments, choice)
