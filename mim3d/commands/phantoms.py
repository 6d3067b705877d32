"""``mim3d phantoms``: write synthetic volumes."""

from __future__ import annotations

import argparse
from typing import Any

from mim3d.arguments import number
from mim3d.catalog import QUICK_PHANTOMS, TASKS

DESCRIPTION = """\
Write synthetic volumes (phantoms) as NIfTI, with datalist.json and a page of pictures."""
EXAMPLE = "example:\n  mim3d phantoms --out DATA --kind brain_mri --training 6 --validation 2 --unlabelled 12"
SECTIONS = {
    "training": "labelled cases to train on (default for each of the four: its share of --cases)",
    "validation": "labelled cases to choose the best weights",
    "test": "labelled cases for the final evaluation",
    "unlabelled": "cases without a label file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    count: dict[str, Any] = {"type": number(whole=True, at_least=0), "metavar": "N"}
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write: absent or empty, or see --overwrite"
    )
    parser.add_argument(
        "--kind",
        choices=list(dict.fromkeys([*(task.phantoms for task in TASKS.values()), QUICK_PHANTOMS])),
        default="abdomen_ct",
        help="what the volumes show (default: %(default)s)",
    )
    parser.add_argument("--cases", **count, help="number of all cases (default: the sum of the four, or 16)")
    for name, meaning in SECTIONS.items():
        parser.add_argument(f"--{name}", **count, help=meaning)
    parser.add_argument("--seed", **count, default=0, help="same seed, same volumes (default: %(default)s)")
    parser.add_argument(
        "--size",
        choices=("tiny", "small", "full"),
        default="small",
        help="voxel size: about 5, 3 or 1.3 mm for CT (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an earlier set of phantoms in the folder"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the set and print where its list and pictures are."""
    from mim3d.phantoms import write_phantoms

    datalist = write_phantoms(**vars(arguments))
    print(f"data list: {datalist}")
    print(f"pictures:  {datalist.with_name('phantoms.png')}")
