"""A folder per run with its config, command, versions, commit and log, so that anybody can tell what was run."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from fire.parser import DefaultParseValue
from monai.bundle.config_parser import ConfigParser

from custom_components.atomic import write_json, write_text
from custom_components.checks.command_line import options_and_config, with_args_file
from custom_components.checks.overrides import run_arguments
from custom_components.distributed import rank, world_size
from custom_components.transfer import provenance

RUNS = "runs"
CONFIG, FACTS = "config.yaml", "run.json"


class RunRecord:
    """Make ``runs/<time>`` in the folder of the weights, and log into it from now on.

    It holds ``config.yaml``, the config files merged with the keys of the command line, which can be run again;
    ``run.json``, with the command, its folder, versions, commit and machine; and ``log.txt``. The first two appear
    together, before training starts. Each start of a run has a folder, also when ``resume`` continues it. Without
    a ``monai.bundle run`` command line (MONAI Label, the Python API) there is no ``config.yaml``.

    Args:
        ckpt_dir: folder of the weights.
        argv: a command line as in ``sys.argv``; None: this process's.
    """

    def __init__(self, ckpt_dir: str, argv: Sequence[str] | None = None) -> None:
        self.ckpt_dir, self.argv = ckpt_dir, sys.argv if argv is None else argv
        self.typed = sys.orig_argv if argv is None else argv
        self.written: Path | None = None  #: the folder, once it is written

    def __call__(self) -> str | None:
        """Write the folder on rank 0 and return its path."""
        if rank() != 0:
            return None
        runs = Path(self.ckpt_dir) / RUNS
        partial = runs / f".partial-{os.getpid()}"
        partial.mkdir(parents=True, exist_ok=True)
        config = resolved_config(self.argv)
        if config is not None:
            write_text(partial / CONFIG, yaml.safe_dump(config, sort_keys=False, width=120))
        command = {"command": shlex.join(self.typed), "folder": os.getcwd(), "ranks": world_size()}
        write_json(partial / FACTS, command | provenance())
        folder = _free_name(runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
        partial.rename(folder)
        self.written = folder
        _log_to(folder / "log.txt")
        return str(folder)


def resolved_config(argv: Sequence[str]) -> dict[str, Any] | None:
    """Return the merged configs of a ``monai.bundle run`` command line, with its keys; None for another one."""
    read = options_and_config(argv)
    if read is None:
        return None
    config = ConfigParser(read[1])
    options = with_args_file(read[0])
    arguments = run_arguments("tracking" in options)
    for key, text in options.items():
        if key not in arguments:
            config[key.replace("#", "::")] = DefaultParseValue(text) if isinstance(text, str) else text
    merged: Mapping[str, Any] = config.get()
    return dict(merged)


def _free_name(path: Path) -> Path:
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}_{number}")
    return found


class _LogFile(logging.FileHandler):
    """The log of a run; a full disk must not end the training or fill the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave the record out."""


def _log_to(path: Path) -> None:
    """Write log records into a file instead of the file of an earlier run in this process."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LogFile)]:
        root.removeHandler(handler)
        handler.close()
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(name)s - %(message)s"))
    root.addHandler(handler)
