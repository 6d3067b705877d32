"""``mim3d weights``: show the published weights, or add weights to them."""

from __future__ import annotations

import argparse
from pathlib import Path

from mim3d.arguments import Parser, UsageError, add_layers, number

DESCRIPTION = """\
Published weights, which --pretrained, mim3d segment, package and download take by name.

list      Prints each name with its size, its licence and where a copy is.
add FILE  Copies weights and their card into weights/<name> of the repository, and writes their entry into
          custom_components/published.json. Give the layers and keys (--KEY VALUE) that the network was trained
          with: the weights must fit the bundle with them. Run mim3d render afterwards."""
EXAMPLE = """\
examples:
  mim3d weights list
  mim3d weights add OUT/model.pt --name hippocampus/pretrain_mae --bundle pretrain_mae --licence "CC BY-SA 4.0" \\
    --attribution "Trained on ..." --command "python -m monai.bundle run ..." --layer task_msd_hippocampus.yaml"""
ADDED = ("name", "bundle", "licence", "attribution", "command")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    if isinstance(parser, Parser):
        parser.takes_keys = True
    parser.add_argument("action", choices=("list", "add"), metavar="list|add", help="what to do, see above")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="add: the weights, beside their card")
    parser.add_argument("--name", metavar="DATA/BUNDLE", help="add: a name such as hippocampus/pretrain_mae")
    parser.add_argument("--short", metavar="NAME", help="add: a short name, for example hippocampus")
    parser.add_argument("--bundle", metavar="BUNDLE", help="add: the bundle that trained them")
    add_layers(parser, "add: layers of the training, names in the bundle's configs")
    parser.add_argument("--licence", metavar="TEXT", help="add: licence of the weights")
    parser.add_argument("--attribution", metavar="TEXT", help="add: a sentence that names data and authors")
    parser.add_argument("--command", metavar="TEXT", help="add: exact command of the training, with DATA and OUT")
    parser.add_argument(
        "--seed", type=number(whole=True), default=0, metavar="N", help="add: seed of the training (default: 0)"
    )
    parser.add_argument("--result", metavar="FILE", help="add: file of the repository with the scores")


def run(arguments: argparse.Namespace) -> None:
    """List the weights, or add some."""
    missing = [f"--{name}" for name in ADDED if not getattr(arguments, name)]
    if arguments.action == "add" and (missing or arguments.file is None):
        raise UsageError(f"mim3d weights add needs {', '.join(['FILE'] * (arguments.file is None) + missing)}")
    if arguments.action == "list" and (arguments.file or arguments.keys):
        raise UsageError("mim3d weights list takes no further argument")
    if arguments.action == "list":
        _list()
    else:
        _add(arguments)


def _list() -> None:
    from custom_components.published import LOCAL, read_registry

    weights, aliases = read_registry()
    for name, entry in weights.items():
        short = "".join(f" ({alias})" for alias, target in aliases.items() if target == name)
        here = (LOCAL / name / entry.files[0].name).is_file()
        where = LOCAL / name if here else entry.files[0].url or "not published for download yet"
        print(f"{name}{short}: {entry.size / 1e6:.1f} MB, {entry.licence}, {where}")
    if not weights:
        print("none yet")


def _add(arguments: argparse.Namespace) -> None:
    from mim3d.package.folders import find_bundle
    from mim3d.segment.config import check_keys, config_files, parse_value
    from mim3d.weights.add import add_weights

    bundle = find_bundle(arguments.bundle)
    files = config_files(bundle, arguments.layer, "train.yaml")
    check_keys(files, arguments.keys, {}, "mim3d weights add")
    fields = {name: getattr(arguments, name) for name in ADDED[1:]}
    fields |= {"layers": arguments.layer, "seed": arguments.seed, "result": arguments.result}
    fields |= {"keys": {key: parse_value(written) for key, written in arguments.keys.items()}}
    added = add_weights(arguments.file, arguments.name, arguments.short, fields)
    print(f"added {added.name}: {added.size / 1e6:.1f} MB; now run mim3d render")
