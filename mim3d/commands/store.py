"""``mim3d store``: build, check or prune a store of prepared volumes."""

from __future__ import annotations

import argparse

from mim3d.arguments import Parser, UsageError, add_layers, add_workers

DESCRIPTION = """\
Prepared volumes on disk, for trainings with --cache store.

build BUNDLE DATA  Prepares each training and validation volume of the bundle's config that the store lacks, and
                   prepares damaged entries again. An interrupted build continues where it ended; several processes
                   may build one store. Give the layers and keys of the training: --KEY VALUE.
check STORE        Reads every entry. The exit status is 1 if one is damaged.
prune STORE        Removes entries that are damaged, of an older version, or of files that have changed or gone."""
EXAMPLE = """\
examples:
  mim3d store build pretrain_hybridmim DATA --layer task_brats.yaml --workers 8
  mim3d store check DATA/mim3d_store"""
ACTIONS = {"build": ("BUNDLE", "DATA"), "check": ("STORE",), "prune": ("STORE",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    parser.add_argument("action", choices=ACTIONS, metavar="build|check|prune", help="what to do, see above")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="BUNDLE and DATA, or STORE")
    parser.add_argument("--out", metavar="DIR", help="build: the store (default: DATA/mim3d_store)")
    add_layers(parser, "build: layers of the training: names in the bundle's configs, or paths")
    add_workers(parser, 4, "volumes that are prepared or checked at a time")
    parser.add_argument(
        "--format",
        default="npy",
        metavar="FORMAT",
        help="build: npy, or blosc2 (an extra package), which is compressed: for slow disks and networks",
    )
    parser.add_argument(
        "--dataset_dir", metavar="DATA", help="prune: the data folder (default: the one the store was made from)"
    )
    parser.add_argument("--dry_run", action="store_true", help="prune: only print what would be removed")


def run(arguments: argparse.Namespace) -> None:
    """Do one of the three and print a line."""
    given, names = arguments, ACTIONS[arguments.action]
    if len(given.paths) != len(names):
        raise UsageError(f"mim3d store {given.action} takes {' '.join(names)}; found {' '.join(given.paths)}")
    if given.action != "build" and given.keys:
        raise UsageError(f"mim3d store {given.action} takes no key of a config; found --{next(iter(given.keys))}")
    if given.action == "build":
        from mim3d.package.folders import find_bundle
        from mim3d.store.build import build_store

        bundle, data = find_bundle(given.paths[0]), given.paths[1]
        print(build_store(bundle, data, given.layer, given.out, given.workers, given.format, given.keys))
        return
    from mim3d.store.upkeep import check_store, prune_store

    if given.action == "check":
        print(check_store(given.paths[0], given.workers))
    else:
        print(prune_store(given.paths[0], given.dataset_dir, given.dry_run))
