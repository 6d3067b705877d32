"""``mim3d check``: check a folder of volumes before training."""

from __future__ import annotations

import argparse
import os

from mim3d.arguments import Parser, UsageError, add_data, add_datalist, add_layers, add_workers

DESCRIPTION = """\
Check the cases of a folder, or of its data list, as a training does before it starts, but all of them: a training
ends at the first bad case.

Prints one table of errors (a training would refuse the file) and one of warnings. The exit status is 0 without
errors and 1 with errors. With --bundle, channels, label values and intensities must be those of the bundle's
config; keys of the config follow as --KEY VALUE. Without it, they are compared with the data list and among
each other. Nothing is changed."""
EXAMPLE = """\
examples:
  mim3d check DATA --full
  mim3d check DATA --full --bundle seg_btcv --out findings.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    add_data(parser)
    add_datalist(parser, "datalist.json in the folder")
    parser.add_argument("--bundle", metavar="BUNDLE", help="whose config says what the cases must be")
    add_layers(parser, "layers of this config: names in the bundle's configs, or paths")
    parser.add_argument(
        "--full",
        action="store_true",
        help="read every voxel of every file once (default: headers, label maps, and the voxels of 32 images)",
    )
    most = min(8, os.cpu_count() or 1)
    add_workers(parser, most, "cases read at a time; each takes up to three times the memory of its image")
    parser.add_argument("--out", metavar="FILE.csv", help="write the findings to a file, too")


def run(arguments: argparse.Namespace) -> None:
    """Check all cases and print the findings.

    Raises:
        ValueError: if there is an error among them.
    """
    if not arguments.bundle and (arguments.layer or arguments.keys):
        raise UsageError("--layer and keys of a config need --bundle")

    from mim3d.check.expectations import of_bundle, of_list
    from mim3d.check.run import check_data, table, write_report
    from mim3d.package.folders import find_bundle

    folder = arguments.dataset_dir
    if arguments.bundle:
        bundle = find_bundle(arguments.bundle)
        expectations = of_bundle(bundle, arguments.layer, arguments.keys, folder, arguments.datalist)
    else:
        expectations = of_list(folder, arguments.datalist)
    report = check_data(expectations, arguments.full, arguments.workers)
    print(table(report, folder))
    if arguments.out:
        write_report(report, arguments.out, folder)
    if report.errors:
        raise ValueError(
            f"{len(report.errors)} errors in {report.bad} of {report.cases} cases; the table names them"
        )
