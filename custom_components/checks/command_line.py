"""The ``monai.bundle run`` command line of this process, as a check reads it."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import run

COMMANDS = ("run", "run_workflow")


def parse_command(argv: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """Split ``python -m monai.bundle run ...`` into the command and its options, as ``fire`` reads them.

    Returns:
        The command (None if it is not such a command line) and the options: ``--key value``, ``--key=value`` and
        ``--flag``, and positional values under the names of ``run``'s arguments.
    """
    if len(argv) < 2 or Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or argv[1] not in COMMANDS:
        return None, {}
    words = list(argv[2:])
    if "--" in words:  # words after the last one are for fire itself
        words = words[: len(words) - 1 - words[::-1].index("--")]
    options: dict[str, Any] = {}
    positional = []
    while words:
        word = words.pop(0)
        if not _is_flag(word):
            positional.append(word)
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals:
            value = words.pop(0) if words and not _is_flag(words[0]) else "True"
        options[key.replace("-", "_")] = value
    names = [name for name in inspect.signature(run).parameters if name not in options]
    return argv[1], {**dict(zip(names, positional, strict=False)), **options}


def _is_flag(word: str) -> bool:
    """Return whether fire reads the word as ``--key``; a negative number is a value."""
    return word.startswith("--") or re.match(r"-[a-zA-Z]", word) is not None


def with_args_file(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, completed with those of ``args_file``."""
    path = options.get("args_file")
    if not path or not Path(str(path)).is_file():
        return dict(options)
    return {**ConfigParser.load_config_file(str(path)), **options}


def options_and_config(argv: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the options of a ``run`` command line and its merged config files; None for another command line.

    Files that do not exist are left out: monai.bundle reports them.
    """
    command, options = parse_command(argv)
    if command is None:
        return None
    files = [file for file in config_files(with_args_file(options)) if Path(file).is_file()]
    return options, merged_config(files) if files else {}


def merged_config(files: Sequence[str]) -> dict[str, Any]:
    """Return config files as MONAI merges them; files that have not changed are parsed once.

    Several checks need them at the start of a run, and parsing takes longer than most checks.
    """
    states = tuple((status.st_mtime_ns, status.st_size) for status in (os.stat(file) for file in files))
    return copy.deepcopy(_parsed(tuple(map(str, files)), states))


@functools.lru_cache(maxsize=1)
def _parsed(files: tuple[str, ...], states: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    return dict(ConfigParser.load_config_files(list(files)))


def config_files(options: Mapping[str, Any]) -> list[str]:
    """Return ``config_file`` as a list; it may be a path, a list, ``"['a', 'b']"`` or ``"a,b"``."""
    value = options.get("config_file")
    if isinstance(value, str) and not Path(value).is_file():
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            value = value.split(",")
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(file) for file in value]
