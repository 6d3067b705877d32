"""``mim3d verify``: pack bundles and check the result."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import add_bundles, add_layers

DESCRIPTION = """\
Pack bundles and check what the model zoo, monai.bundle and MONAI Label require of them.

Packs each bundle into a temporary folder and checks it there, in a process that sees only the package's own
custom_components. Prints one line per check: ok or FAIL, seconds, and what was found. Exits with 1 if a check
failed. A zip is unpacked and checked as it is."""
EXAMPLE = """\
examples:
  mim3d verify                              every bundle, exports included (minutes each)
  mim3d verify seg_btcv --skip_exports      one bundle, without the checks that run its network
  mim3d verify OUT/release/seg_btcv_v0.1.0.zip
  mim3d verify seg_btcv --only "README commands\""""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add_bundles(parser, "names in bundles/, folders, or zips that mim3d package wrote (default: every bundle)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="CHECK", help="run this check; may be given several times"
    )
    parser.add_argument(
        "--skip_exports",
        action="store_true",
        help="leave out the checks that run the network at its full size (groups network and exports)",
    )
    add_layers(parser, "layers to merge into what is packed, as in mim3d package: checks another network")
    parser.add_argument(
        "--schema", type=Path, metavar="FILE", help="the zoo's metadata schema (default: downloaded, or our own)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the results as JSON")
    parser.add_argument("--list", action="store_true", help="print the groups and names of the checks and stop")


def run(arguments: argparse.Namespace) -> None:
    """Check the bundles, or list the checks."""
    from mim3d.verify.verify_bundles import list_checks, verify_all

    if arguments.list:
        list_checks(arguments)
    else:
        verify_all(arguments)
