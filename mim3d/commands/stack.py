"""``mim3d stack``: one 4D file per case."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import UsageError

DESCRIPTION = """\
Join one file per sequence into one 4D file per case, as MONAI Label and its viewers need it.

Give a folder of BraTS cases: each becomes OUT/<case>.nii.gz with the channels FLAIR, T1, T1ce, T2. Or give the
files of one case with --images."""
EXAMPLE = """\
examples:
  mim3d stack DATA --out STUDIES --labels --label_source brats2021
  mim3d stack --images flair.nii.gz t1.nii.gz t1ce.nii.gz t2.nii.gz --out case.nii.gz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    parser.add_argument("dataset_dir", nargs="?", metavar="DATA", help="a folder of BraTS cases")
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="the folder to write to; with --images the file"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="FILE",
        help="one case's files in the order of the channels, instead of DATA",
    )
    parser.add_argument(
        "--labels",
        action="store_true",
        help="write labels too, to OUT/labels/final/<case>.nii.gz, with the values that seg_brats writes; images "
        "that are 4D already (MSD Task01) are then copied",
    )
    parser.add_argument(
        "--label_source",
        metavar="NAME",
        help="data set whose values the label files have: brats2020, brats2021, brats2023 or msd_task01",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print the order of the channels."""
    from custom_components.data.brats import LABEL_SOURCES
    from mim3d.datasets.stack import stack_folder, stack_images

    given = arguments
    if (given.dataset_dir is None) == (given.images is None):
        raise UsageError("give a folder of cases, or --images with the files of one case")
    if given.images and given.labels:
        raise UsageError("--labels goes with a folder of cases, not with --images")
    if given.labels != (given.label_source is not None):
        raise UsageError(f"--labels and --label_source go together; allowed sources: {', '.join(LABEL_SOURCES)}")
    if given.images:
        print(f"image: {stack_images(given.images, given.out, given.overwrite)}")
        channels = [Path(file).name for file in given.images]
    else:
        written, channels = stack_folder(given.dataset_dir, given.out, given.label_source, given.overwrite)
        print(f"images: {len(written)} in {given.out}")
    print("channels: " + ", ".join(f"{number} {name}" for number, name in enumerate(channels)))
