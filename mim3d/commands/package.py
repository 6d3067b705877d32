"""``mim3d package``: pack bundles as folders and zips."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import UsageError, add_bundles, add_layers

DESCRIPTION = """\
Pack bundles with all that they need: configs, documents, licence, weights, and custom_components.

Writes OUT/<name>/ and OUT/<name>_v<version>.zip, which holds that one folder. The same files give the same bytes
at any place and time. SHA256SUMS lists what was written."""
EXAMPLE = """\
examples:
  mim3d package seg_btcv --out OUT/release
  mim3d package seg_btcv --out OUT/release --layer swin_unetr.yaml --weights models/model.pt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add_bundles(parser, "names in bundles/, or folders (default: every bundle)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_layers(
        parser,
        "layers to merge into the packed train.* and inference.*, in this order, so that weights trained "
        "with them are served as one file: names in the bundle's configs, or paths. Merged YAML has no comments",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights to pack as models/model.pt, with the card beside them and, where the bundle's inference "
        "reads it, the pretext.pt beside them (default: the files of models/ that git tracks)",
    )
    parser.add_argument(
        "--allow_large", action="store_true", help="pack files over 25 MB: for your own server, not for the zoo"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call wrote, unless it was changed since"
    )


def run(arguments: argparse.Namespace) -> None:
    """Pack the bundles and print each folder and zip."""
    from mim3d.package.folders import all_bundles, find_bundle
    from mim3d.package.pack import package
    from mim3d.package.weights import check_weights, pretext_beside

    bundles = [find_bundle(name) for name in arguments.bundles] or all_bundles()
    layers, weights = arguments.layer, arguments.weights
    if weights and len(bundles) > 1:
        raise UsageError(f"--weights {weights} is for one bundle; {len(bundles)} are to be packed")
    if weights and weights.is_file():
        check_weights(bundles[0], layers, weights)
        pretext = pretext_beside(bundles[0], weights)
        if pretext and pretext.is_file():
            check_weights(bundles[0], layers, pretext, "pretext")
    options = {"layers": layers, "weights": weights, "allow_large": arguments.allow_large}
    for bundle in bundles:
        for path in package(bundle, arguments.out, arguments.overwrite, **options):
            print(path)
