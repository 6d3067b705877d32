"""``mim3d segment``: segment a folder of volumes with a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import Parser, UsageError, add_cases, add_weights

DESCRIPTION = """\
Segment a volume, or every volume in a folder, with a bundle's own inference config.

Writes OUT/<path of the volume>_seg.nii.gz with the volume's shape and header. Channels in one file each are
grouped by name (case_0000.nii.gz as in nnU-Net, case folders as in BraTS). A case that cannot be segmented is
reported, and the others go on. Masks that exist are skipped: the same command continues after an interruption.

Further keys of the config follow as --KEY VALUE, for example --largest_component "[1]"."""
EXAMPLE = """\
examples:
  mim3d segment seg_btcv DATA --out OUT
  mim3d segment seg_btcv DATA --out OUT --probabilities
  mim3d segment seg_btcv scan.nii.gz --out OUT --layer unetr.yaml --weights model.pt --non_finite replace"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    parser.add_argument("bundle", metavar="BUNDLE", help="name in bundles/, or a folder")
    add_cases(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the masks")
    add_weights(parser)
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write <path>_probabilities.nii.gz: float32, a fourth axis with one channel per output_names",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace masks that an earlier call wrote")


def run(arguments: argparse.Namespace) -> None:
    """Segment every case and print a table.

    Raises:
        ValueError: if a case failed, after all others are done.
    """
    from mim3d.package.folders import find_bundle

    bundle = find_bundle(arguments.bundle)
    if arguments.out.exists() and not arguments.out.is_dir():
        raise UsageError(f"--out {arguments.out} is a file; give a folder")

    from mim3d.segment.cases import find_cases
    from mim3d.segment.network import Segmenter
    from mim3d.segment.run import FAILED, segment_cases
    from mim3d.segment.weights import with_published

    layers, weights, keys = with_published(arguments, bundle)
    if arguments.probabilities:
        keys = {**keys, "save_probabilities": "True"}
    segmenter = Segmenter(bundle, layers, weights, keys)
    found = find_cases(arguments.input, segmenter.channels, arguments.out)
    for note in segmenter.notes:
        print(f"warning: the weights' card and the config differ: {note}")
    results = segment_cases(found, segmenter, arguments.overwrite)
    failed = [result.case for result in results if result.result == FAILED]
    if failed:
        shown = ", ".join(failed[:5]) + (", ..." if len(failed) > 5 else "")
        raise ValueError(f"{len(failed)} of {len(results)} cases failed: {shown}; the table says why")
