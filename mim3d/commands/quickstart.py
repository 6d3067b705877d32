"""``mim3d quickstart``: the main job, small. ``ci/quickstart.sh`` installs what it needs and calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import number
from mim3d.catalog import METHODS, NARROW, ROOT
from mim3d.choice import choose

DESCRIPTION = """\
Run a small study: train a segmentation from scratch and from pretrained weights, with two seeds each, and compare
them on held-out volumes. Writes report.html. Without --dataset_dir it writes phantoms (synthetic CT volumes) or
downloads the hippocampus data.

It first says how long it will take on this machine. Ctrl-C ends it with everything that it started. Repeat the
command to continue. It runs the shipped configs with small crops and a narrow network, for a CPU: one training on
each core, or on each GPU."""
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
        help="voxel size in mm at which volumes are read (default: 6 for phantoms, 4 for your own, 1 for Task04)",
    )
    add(
        "--out",
        type=Path,
        default=ROOT / "runs" / "quickstart",
        metavar="DIR",
        help="folder for all results; an earlier call with the same settings is continued (default: "
        "runs/quickstart in the repository)",
    )
    add("--overwrite", action="store_true", help="begin anew, and delete the earlier quick start in --out")
    add(
        "--seed",
        type=number(whole=True, at_least=0),
        default=0,
        help="seed of data and runs; the second run of each kind has the next one (default: %(default)s)",
    )
    add(
        "--budget",
        type=number(above=0),
        default=1.0,
        help="factor on training steps and validations, and below 1 on phantoms (default: %(default)s)",
    )
    add(
        "--cases",
        type=number(whole=True, at_least=6),
        metavar="N",
        help="number of phantoms, shared out over the sections (default: 52, of which 32 are unlabelled)",
    )
    add(
        "--size",
        choices=("tiny", "small", "full"),
        default="tiny",
        help="voxel size of phantom files: about 5, 3 or 1.3 mm (default: %(default)s)",
    )
    add(
        "--check_arguments",
        action="store_true",
        help="check the command line and stop; ci/quickstart.sh does so before it installs anything",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check that method and network go together, then run the study."""
    choice = choose(arguments.method, arguments.backbone)
    if arguments.check_arguments:
        return
    from mim3d.quickstart.run import run_quickstart

    run_quickstart(arguments, choice)
