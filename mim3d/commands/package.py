"""``mim3d package``: pack bundles as folders and zips."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import add_bundles, add_layers

DESCRIPTION = """\
Pack bundles with all that they need: configs, documents, licence, weights, and custom_components.

Writes OUT/<name>/ and OUT/<name>_v<version>.zip, which holds that one folder. The same files give the same bytes
at any place and time. SHA256SUMS lists what was written."""
EXAMPLE = """\
examples:
  mim3d package seg_btcv --out OUT/release
  mim3d package seg_btcv --out OUT/release --layer swin_unetr.yaml --weights models/model.pt
  mim3d package seg_btcv --out OUT/release --config_only
  mim3d package seg_btcv --out OUT/release --verify"""


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
        metavar="FILE",
        help="weights to pack as models/model.pt, with the card beside them and, where the bundle's inference "
        "reads it, the pretext.pt beside them; or the name of published weights, which brings their layers, keys "
        "and licence (default: the files of models/ that git tracks)",
    )
    parser.add_argument(
        "--link_weights",
        action="store_true",
        help="list published weights in large_files.yml instead of packing them",
    )
    parser.add_argument(
        "--config_only",
        action="store_true",
        help="pack a segmentation bundle without Python code, for sites that accept none: OUT/config_only_<name>, "
        "with MONAI, torch and ignite classes only. Training then does less; the README of the package says what",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="check each zip in a process of its own, except for the exports: as mim3d verify does",
    )
    parser.add_argument(
        "--allow_large", action="store_true", help="pack files over 25 MB: for your own server, not for the zoo"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier call wrote, unless it was changed since"
    )


def run(arguments: argparse.Namespace) -> None:
    """Pack the bundles, print each folder and zip, and check the zips on request."""
    from mim3d.package.run import package_all

    zips = package_all(arguments)
    if arguments.verify:
        from mim3d.verify.checks import GROUPS, select
        from mim3d.verify.verify_bundles import check_packages

        check_packages(zips, select([group for group in GROUPS if group != "exports"], []))
