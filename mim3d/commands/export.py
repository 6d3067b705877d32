"""``mim3d export``: export a bundle's network as TorchScript or ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import Parser, UsageError, add_weights, number
from mim3d.export.tolerances import TOLERANCE

DESCRIPTION = """\
Export the network of a segmentation bundle as TorchScript or ONNX, and compare the export with the network.

The comparison runs both on random windows, or with --compare on a volume with sliding windows. It prints the
largest difference and the number of voxels whose class differs. If the difference is above the tolerance, the
command ends with status 1 and writes no file.

Further keys of the config follow as --KEY VALUE, for example --roi_size "[96,96,96]"."""
EXAMPLE = """\
examples:
  mim3d export seg_btcv --to torchscript --out OUT/model.ts
  mim3d export seg_btcv_v0.1.0.zip --weights model.pt --to onnx --out OUT/model.onnx --compare scan.nii.gz"""
_SUFFIXES = {"torchscript": ".ts", "onnx": ".onnx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    parser.add_argument("bundle", metavar="BUNDLE", help="name in bundles/, a folder, or a zip of mim3d package")
    parser.add_argument("--to", choices=_SUFFIXES, required=True, help="format")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: .ts or .onnx")
    add_weights(parser)
    parser.add_argument(
        "--compare",
        type=Path,
        nargs="+",
        default=[],
        metavar="IMAGE.nii.gz",
        help="compare on this volume, or on the files of one case in the order of its channels "
        "(default: random windows)",
    )
    parser.add_argument(
        "--tolerance",
        type=number(at_least=0),
        metavar="SHARE",
        help="largest difference allowed, as a share of the largest value of the output (default: "
        f"{', '.join(f'{value:g} for {kind}' for kind, value in TOLERANCE.items())})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(arguments: argparse.Namespace) -> None:
    """Export, compare, and print what was found."""
    out, kind = arguments.out, arguments.to
    if out.suffix != _SUFFIXES[kind]:
        raise UsageError(f"--out {out} must end in {_SUFFIXES[kind]} for --to {kind}")
    if out.exists() and (not out.is_file() or not arguments.overwrite):
        raise UsageError(f"--out {out} exists; --overwrite replaces a file")

    from mim3d.export.formats import check_packages
    from mim3d.export.run import export_network
    from mim3d.package.folders import open_bundle
    from mim3d.segment.network import Segmenter
    from mim3d.segment.weights import with_published

    check_packages(kind)
    tolerance = TOLERANCE[kind] if arguments.tolerance is None else arguments.tolerance
    with open_bundle(arguments.bundle) as bundle:
        layers, weights, keys = with_published(arguments, bundle)
        segmenter = Segmenter(bundle, layers, weights, {"device": "cpu", **keys})
        for note in segmenter.notes:
            print(f"warning: the weights' card and the config differ: {note}")
        exported = export_network(segmenter, bundle, kind, out, tolerance, arguments.compare)
    on = arguments.compare[0] if arguments.compare else "random windows"
    print(f"{out}: {kind}, {exported.how}")
    print(
        f"compared with the network on {on}: {exported.difference}; allowed: {tolerance:.0e} of the largest value"
    )
