"""Check: is a key on a ``monai.bundle run`` command line misspelled? MONAI accepts and ignores unknown keys.

Configs do not see the command line, so this check reads ``sys.argv``: a key that is neither in the config files
nor an argument of ``run`` ends the run, with the nearest known key.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import run
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS
from monai.bundle.workflows import ConfigWorkflow

COMMANDS = ("run", "run_workflow")
_CLOSE = 0.5  # how similar two keys must be (difflib ratio) to be suggested


class Overrides:
    """Every override key must be one that something reads; see :func:`unknown_overrides`.

    Args:
        argv: a command line as in ``sys.argv``; None: this process's.
    """

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        self.argv = sys.argv if argv is None else argv

    def __call__(self) -> None:
        """Raise ValueError naming each unknown key, the nearest known one and the config files."""
        unknown = unknown_overrides(self.argv)
        if unknown:
            _, options = parse_command(self.argv)
            files = ", ".join(str(file) for file in _config_files(_with_args_file(options)))
            keys = "; ".join(f"{key!r} (nearest: {near!r})" if near else repr(key) for key, near in unknown)
            raise ValueError(f"unknown override {keys}: not a key of {files}, nor an argument of monai.bundle run")


def unknown_overrides(argv: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the override keys of a command line (and of its ``args_file``) that would be ignored.

    A key is known when the merged config files have it or ``monai.bundle run`` takes it as an argument. A
    nested key (``net#arg``, ``net::arg``) is also known if ``net`` is a component whose ``_target_`` takes
    ``arg``, or cannot be imported.

    Args:
        argv: a command line as in ``sys.argv``.

    Returns:
        Pairs of the key as written and the nearest known key, or None if none is near. Empty if this is not such a
        command line (a test, MONAI Label, the Python API).
    """
    command, options = parse_command(argv)
    if command is None:
        return []
    options = _with_args_file(options)
    files = _config_files(options)
    if not files or not all(Path(file).is_file() for file in files):
        return []  # monai.bundle itself reports the missing file
    config = ConfigParser.load_config_files(files)
    arguments = _run_arguments("tracking" in options)
    unknown = []
    for written in options:
        key = written.replace("#", "::")
        if key in arguments or key.split("::")[0] == ConfigParser.meta_key:
            continue
        siblings = _siblings(config, key, options)
        if siblings is None:
            continue
        parent, _, leaf = key.rpartition("::")
        if leaf not in siblings:
            candidates = siblings if parent else {*siblings, *arguments}
            near = difflib.get_close_matches(leaf, sorted(candidates), n=1, cutoff=_CLOSE)
            unknown.append((written, "::".join(filter(None, (parent, near[0]))) if near else None))
    return unknown


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


def _with_args_file(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, completed with those of ``args_file``."""
    path = options.get("args_file")
    if not path or not Path(str(path)).is_file():
        return dict(options)
    return {**ConfigParser.load_config_file(str(path)), **options}


def _config_files(options: Mapping[str, Any]) -> list[str]:
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


def _run_arguments(tracking: bool) -> set[str]:
    names = {"workflow_name"}
    for function in (run, ConfigWorkflow.__init__):
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"}
    if tracking:  # MONAI passes its tracking settings as overrides
        tools: Any = DEFAULT_EXP_MGMT_SETTINGS
        names |= {name for settings in tools.values() for name in settings.get("configs", {})}
    return names


def _siblings(config: Any, key: str, options: Iterable[str]) -> set[str] | None:
    """Return the names that the last part of ``key`` could be, or None if they are unknown."""
    overridden = {option.replace("#", "::") for option in options}
    *parents, leaf = key.split("::")
    for depth, part in enumerate(parents):
        if "::".join(parents[: depth + 1]) in overridden:
            return None  # the parent is itself replaced on this command line
        try:
            config = config[int(part)] if isinstance(config, list) else config[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None  # MONAI raises for a missing parent, before anything runs
    if isinstance(config, list):
        return {str(index) for index in range(len(config))}
    if not isinstance(config, dict):
        return None
    names = {str(name) for name in config}
    if "_target_" in config:
        taken = _parameters(config["_target_"])
        if taken is None or (leaf.startswith("_") and leaf.endswith("_")):
            return None
        names |= taken
    return names


def _parameters(target: Any) -> set[str] | None:
    """Return the argument names of a dotted ``_target_``; None if they are unknown, or it takes any."""
    found = locate(target) if isinstance(target, str) and re.fullmatch(r"\w+(\.\w+)+", target) else None
    try:
        parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}
