"""``mim3d download``: a bundle or published weights, with checks."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import number

DESCRIPTION = """\
Download a bundle by the URL of its zip, or published weights by their name.

A bundle is unpacked to OUT/<bundle>, with the files that its large_files.yml lists. Before anything is put there,
hashes, sizes and the names in the archive are checked. Weights are copied to OUT/<name>/model.pt, with their card.
Run only configs of bundles that you trust: a config can execute code."""
EXAMPLE = """\
examples:
  mim3d download hippocampus --out OUT
  mim3d download https://HOST/seg_btcv_v0.1.0.zip --out OUT --sha256 1a2b..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    parser.add_argument("source", metavar="NAME|URL", help="a name of published weights, or the URL of a zip")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--sha256", metavar="HEX", help="sha256 that the zip must have (default: not compared)")
    parser.add_argument(
        "--max_gb",
        type=number(above=0),
        default=2.0,
        metavar="GB",
        help="most GB that the zip, its content, and each listed file may have (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Download, and print the path."""
    from mim3d.download.run import download_bundle, download_weights

    if "://" in arguments.source:
        most_bytes = int(arguments.max_gb * 1e9)
        print(download_bundle(arguments.source, arguments.out, arguments.sha256, most_bytes))
    else:
        print(download_weights(arguments.source, arguments.out))
