"""``mim3d label``: try bundles in a real MONAI Label server."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import add_bundles, add_layers, number
from mim3d.catalog import ROOT

DESCRIPTION = """\
Serve, segment, train by REST and segment again, in a real MONAI Label server on this machine.

Needs MONAI Label: ci/label_roundtrip.sh makes an environment for it and calls this command. Each bundle is packed
and unzipped into the monaibundle app, as a user would do it, and served alone; then two bundles in one server;
then all with their default configs. The first thing that is wrong ends the run."""
EXAMPLE = "example:\n  bash ci/label_roundtrip.sh seg_btcv --out runs/label"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add_bundles(parser, "names in bundles/ (default: every segmentation bundle)")
    parser.add_argument(
        "--full", action="store_true", help="default networks and views in place of smoke.yaml: hours on a CPU"
    )
    add_layers(parser, "layers to pack in place of smoke.yaml")
    parser.add_argument(
        "--epochs", type=number(whole=True, at_least=1), default=2, help="epochs to train (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / "label",
        metavar="DIR",
        help="work folder (default: runs/label in the repository); one that this command made is emptied first",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the round trip."""
    from mim3d.label.roundtrip import round_trips

    round_trips(arguments)
