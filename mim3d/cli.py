"""The ``mim3d`` command: a table of commands, and how one is found, run and ended.

Each command is a module with ``add_arguments(parser)``, which may also set the parser's description and epilog,
and ``run(arguments)``. It imports nothing heavy at module level. So ``mim3d NAME --help`` answers at once, and a
missing dependency of one command does not stop another.

The command line is argparse, not a third-party library, because ``ci/quickstart.sh`` must judge its command line
with a bare Python before anything is installed.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from custom_components.stopping import stop_on_sigterm
from mim3d.arguments import Parser, UsageError

#: Command -> the module that holds it, and one line of help.
COMMANDS = {
    "quickstart": ("mim3d.commands.quickstart", "a small run of every step: pretrain, fine-tune, compare, report"),
    "segment": ("mim3d.commands.segment", "segment a folder of volumes with a bundle"),
    "export": ("mim3d.commands.export", "export a bundle's network as TorchScript or ONNX"),
    "embed": ("mim3d.commands.embed", "compute features of volumes with a bundle's encoder"),
    "study": ("mim3d.commands.study", "compare training from scratch with fine-tuning over a grid"),
    "plan": ("mim3d.commands.plan", "read a folder of volumes and write how to train on it"),
    "datalist": ("mim3d.commands.datalist", "split a folder of volumes into training, validation and test"),
    "check": ("mim3d.commands.check", "check a folder of volumes before training"),
    "convert": ("mim3d.commands.convert", "convert DICOM series, NRRD and MetaImage files to NIfTI"),
    "phantoms": ("mim3d.commands.phantoms", "write synthetic volumes (phantoms)"),
    "store": ("mim3d.commands.store", "build, check or prune a store of prepared volumes"),
    "stack": ("mim3d.commands.stack", "join one file per sequence into one 4D file per case"),
    "render": ("mim3d.render", "write the bundles' configs from their sources"),
    "download": ("mim3d.commands.download", "download a bundle or published weights, with checks"),
    "weights": ("mim3d.commands.weights", "show published weights, or add some"),
    "package": ("mim3d.commands.package", "pack bundles with their code and weights as folders and zips"),
    "verify": ("mim3d.commands.verify", "pack bundles and check the result"),
    "release": ("mim3d.commands.release", "check the repository, write the files of a release and tag it"),
    "label": ("mim3d.commands.label", "test bundles in a real MONAI Label server"),
}


def overview() -> str:
    """Return the list of commands that ``mim3d`` alone prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        ["usage: mim3d COMMAND ...", "", "commands:", *lines, "", "mim3d COMMAND --help explains a command."]
    )


def find_command(name: str) -> ModuleType:
    """Import the module of a command.

    Raises:
        UsageError: for an unknown name, with the nearest known one.
    """
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown command {name!r}; {hint}allowed: {', '.join(COMMANDS)}")
    return importlib.import_module(COMMANDS[name][0])


def parser_of(name: str) -> Parser:
    """Return the parser of a command, without running the command.

    Raises:
        UsageError: for an unknown command.
    """
    module = find_command(name)
    parser = Parser(prog=f"mim3d {name}", description=f"{COMMANDS[name][1]}.".capitalize())
    module.add_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        argv: the words behind ``mim3d``; None: those of this process.

    Raises:
        SystemExit: with the status that the command ends with. A wrong command line is 2, a ValueError or OSError
            of the command 1, Ctrl-C 130, SIGTERM 143; each prints one line on stderr, and ends child processes.
    """
    name, *words = (sys.argv[1:] if argv is None else argv) or ["--help"]
    stop_on_sigterm()
    try:
        if name in ("-h", "--help"):
            print(overview())
            return
        arguments = parser_of(name).parse(words)
        find_command(name).run(arguments)
    except UsageError as error:
        _end(f"error: {error}", 2)
    except (ValueError, OSError) as error:
        _end(f"error: {error}", 1)
    except KeyboardInterrupt:
        _end("interrupted", 130)


def _end(message: str, status: int) -> NoReturn:
    """Print a message as one line on stderr and exit."""
    print(" ".join(message.split()), file=sys.stderr)
    raise SystemExit(status) from None


if __name__ == "__main__":
    main()
