"""``mim3d embed``: features of volumes, for retrieval, linear probes and checks for drift."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import Parser, UsageError, add_cases, add_weights

DESCRIPTION = """\
Compute features of a volume, or of every volume in a folder, with the encoder of a bundle's network.

Each stage of the encoder gives one vector per volume: the mean over the cells of a window, without padding, and
over sliding windows. The table has the columns file, subject and the features. --weights takes fine-tuned weights,
and also pretrained ones of the same network, because only the encoder is read.

Further keys of the config follow as --KEY VALUE, for example --sw_overlap 0."""
EXAMPLE = """\
examples:
  mim3d embed seg_btcv DATA --out OUT/features.npz --dense OUT/dense
  mim3d embed seg_btcv DATA --out OUT/features.csv --weights bundles/pretrain_hybridmim/models/model.pt"""
_SUFFIXES = (".npz", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    parser.add_argument("bundle", metavar="BUNDLE", help="segmentation bundle: name in bundles/, or a folder")
    add_cases(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table to write: .npz or .csv")
    add_weights(parser)
    parser.add_argument(
        "--dense",
        type=Path,
        metavar="DIR",
        help="also write DIR/<path>_features.nii.gz: the bottleneck's features of each cell, along a fourth axis",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> None:
    """Write the table.

    Raises:
        ValueError: if a volume failed, after all others are written.
    """
    out = arguments.out
    if out.suffix not in _SUFFIXES:
        raise UsageError(f"--out {out} must end in {' or '.join(_SUFFIXES)}")
    if out.exists() and (not out.is_file() or not arguments.overwrite):
        raise UsageError(f"--out {out} exists; --overwrite replaces a file")

    from mim3d.package.folders import open_bundle

    with open_bundle(arguments.bundle) as bundle:
        from mim3d.embed.run import dense_file, embed_cases, write_table
        from mim3d.segment.cases import find_cases
        from mim3d.segment.network import Segmenter
        from mim3d.segment.weights import with_published

        segmenter = Segmenter(bundle, *with_published(arguments, bundle), encoder_only=True)
        for note in segmenter.notes:
            print(f"warning: the weights' card and the config differ: {note}")
        found = find_cases(arguments.input, segmenter.channels, out.parent)
        dense = [dense_file(arguments.dense, case) for case in found.cases] if arguments.dense else []
        if there := [file for file in dense if file.exists() and not arguments.overwrite]:
            raise UsageError(f"{there[0]} exists; --overwrite replaces it")
        table = embed_cases(segmenter, found.cases, arguments.dense)
    if table.files:
        write_table(table, out)
        sizes = ", ".join(f"{name} {len(rows[0])}" for name, rows in table.features.items())
        print(f"{out}: {len(table.files)} volumes; features: {sizes}")
    if table.failed:
        raise ValueError(f"{len(table.failed)} of {len(found.cases)} volumes failed: {', '.join(table.failed)}")
