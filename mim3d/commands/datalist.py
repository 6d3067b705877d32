"""``mim3d datalist``: split a folder of volumes and write its data list."""

from __future__ import annotations

import argparse
from typing import Any

from mim3d.arguments import UsageError, number, share_or_count

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
    size: dict[str, Any] = {"type": share_or_count, "metavar": "SIZE"}
    parser.add_argument("dataset_dir", metavar="DATA", help="the folder of volumes")
    parser.add_argument("--out", metavar="FILE", help="the list to write (default: datalist.json in the folder)")
    parser.add_argument(
        "--training",
        **size,
        help="share (0.8) or number (24) of the labelled subjects to train on (default: all that remain)",
    )
    parser.add_argument("--validation", **size, help="the same, to choose the best weights (default: 0.2)")
    parser.add_argument(
        "--test", **size, default=0, help="the same, for the final evaluation (default: %(default)s)"
    )
    parser.add_argument(
        "--folds",
        type=number(whole=True, at_least=2),
        metavar="K",
        help="write K lists, datalist_fold0.json and so on: each subject outside test is validated in one of them",
    )
    parser.add_argument(
        "--seed", type=number(whole=True, at_least=0), default=0, help="seed of the split (default: %(default)s)"
    )
    parser.add_argument(
        "--unlabelled",
        choices=("training+rest", "rest"),
        default="training+rest",
        help="which labelled cases' images pretraining may see; never those of validation or test "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--subject_pattern",
        metavar="REGEX",
        help="regular expression whose first group is the subject in a case's path (default: names decide; volumes"
        " of one sub-01, or that differ only in session, date or sequence, are of one subject)",
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
    options = vars(arguments)
    folds, validation = options.pop("folds"), options.pop("validation")
    if folds and validation is not None:
        raise UsageError("--folds decides which subjects are validated; leave out --validation")

    from mim3d.datasets.prepare import VALIDATION, prepare_datalist, prepare_folds

    if folds:
        paths = prepare_folds(folds=folds, **options)
    else:
        paths = [prepare_datalist(validation=VALIDATION if validation is None else validation, **options)]
    for path in paths:
        print(f"data list: {path}")
