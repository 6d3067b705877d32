"""``mim3d release``: check the repository, write the files of a release and tag it."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Check the repository, write the files of a release into DIR, and tag the commit. Nothing is pushed or uploaded.

The checks: every file is committed, the version of custom_components is not tagged yet, CHANGELOG.md and the
metadata of each bundle have an entry for it, and rendered files are up to date.
DIR gets a zip of each bundle, the published weights, a zip of their bundle with each of them, checksums.txt
(sha256), model_info.json (as in the model zoo), release_notes.md, and for each bundle hub/<name> with a model card
for the Hugging Face hub. DIR appears when it is complete. The same commit gives the same bytes; the same command
finishes a release that was interrupted."""
EXAMPLE = """\
examples:
  mim3d release --out OUT/release --dry_run
  mim3d release --out OUT/release --repository https://github.com/OWNER/NAME"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--repository",
        metavar="URL",
        help="address of the repository on the web, for links in the files (default: the remote origin)",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="check and write everything, but print the tag's command only"
    )


def run(arguments: argparse.Namespace) -> None:
    """Make the release and print what was done."""
    from mim3d.catalog import ROOT
    from mim3d.package.folders import all_bundles
    from mim3d.release.run import release

    release(ROOT, all_bundles(), arguments.out, arguments.repository, arguments.dry_run)
