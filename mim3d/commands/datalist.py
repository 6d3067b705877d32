"""``mim3d datalist``: split a folder of volumes and write its data list."""

from __future__ import annotations

import argparse

from mim3d.arguments import UsageError, add_data, add_split, number, share_or_count

DESCRIPTION = """\
Split a folder of volumes by subject and write its datalist.json, which the configs read.

The folder may be a Medical Segmentation Decathlon task, BraTS cases, nnU-Net raw data, images beside labels (as in
LiTS, KiTS or BIDS), or any folder of NIfTI files. Label maps are recognised by name and by their voxels; what is
left out is printed and stored. The same seed gives the same split. Shares that add up to 1 use every subject:
training takes the remainder. A smaller training set is a subset of a larger one."""
EXAMPLE = """\
examples:
  mim3d datalist DATA --training 0.7 --validation 0.1 --test 0.2
  mim3d datalist DATA --test 0.2 --folds 5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add_data(parser)
    parser.add_argument("--out", metavar="FILE", help="the list to write (default: datalist.json in the folder)")
    parser.add_argument(
        "--training",
        type=share_or_count,
        metavar="SIZE",
        help="share (0.8) or number (24) of the labelled subjects to train on (default: all that remain)",
    )
    add_split(parser)
    parser.add_argument(
        "--folds",
        type=number(whole=True, at_least=2),
        metavar="K",
        help="write K lists, datalist_fold0.json and so on: each subject outside test is validated in one of them",
    )
    parser.add_argument(
        "--unlabelled",
        choices=("training+rest", "rest"),
        default="training+rest",
        help="which labelled cases' images pretraining may see; never those of validation or test "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--include_label_like",
        action="store_true",
        help="list files as images although their names or voxels look like label maps",
    )
    parser.add_argument("--images_only", action="store_true", help="list images without their labels")
    parser.add_argument(
        "--join_sequences",
        action="store_true",
        help="make one case of files that differ in their sequence only (p1_T1, p1_FLAIR) and share a label map",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a list that differs")


def run(arguments: argparse.Namespace) -> None:
    """Write the list, or one for each fold, and print its path."""
    options = {name: value for name, value in vars(arguments).items() if value is not None}
    if "folds" in options and "validation" in options:
        raise UsageError("--folds decides which subjects are validated; leave out --validation")

    from mim3d.datasets.prepare import prepare_datalist, prepare_folds

    paths = prepare_folds(**options) if "folds" in options else [prepare_datalist(**options)]
    for path in paths:
        print(f"data list: {path}")
