"""``mim3d segment``: segment a folder of volumes with a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import Parser, UsageError, add_layers

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
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="a folder, a NIfTI file, a datalist.json, or the files of one case in the order of its channels",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the masks")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights, or the name of published ones, which brings their layers and keys (default: "
        "models/model.pt in the bundle's folder)",
    )
    add_layers(parser, "layers that the weights were trained with: names in the bundle's configs, or paths")
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

    layers, weights, keys = _network(arguments)
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


def _network(arguments: argparse.Namespace) -> tuple[list[str], Path | None, dict[str, str]]:
    """Return layers, weights and keys; those of the command line come before those of published weights."""
    if arguments.weights is None:
        return arguments.layer, None, arguments.keys
    from custom_components.published import find_published, is_published
    from custom_components.transfer import weights_file

    weights = weights_file(arguments.weights)
    if Path(arguments.weights).is_file() or not is_published(arguments.weights):
        return arguments.layer, weights, arguments.keys
    published = find_published(arguments.weights)
    keys = {key: str(value) for key, value in published.keys.items()}
    return arguments.layer or list(published.layers), weights, {**keys, **arguments.keys}
