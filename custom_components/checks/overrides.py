"""Check: does MONAI read the ``monai.bundle run`` command line as it is meant? It ignores unknown keys.

Configs do not see the command line, so this check reads ``sys.argv``: a key that is neither in the config files
nor an argument of ``run`` ends the run, with the nearest known key. So do ``null``, ``None`` and ``false``, which
MONAI does not read as they are meant, and a path that MONAI would change.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle.config_item import ComponentLocator
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import run
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS
from monai.bundle.workflows import ConfigWorkflow

from custom_components.checks.command_line import (
    config_files,
    merged_config,
    options_and_config,
    parse_command,
    with_args_file,
)
from custom_components.checks.paths import misread_paths
from custom_components.checks.tracking import MLFLOW, check_installed

_LOCATOR = ComponentLocator()  # looks through all of MONAI at its first question
_CLOSE = 0.5  # how similar two keys must be (difflib ratio) to be suggested
#: Word on the command line -> what MONAI does with it, and how to write what is meant.
_MISREAD = {
    "null": ("reads null as text", "'$None'"),
    "None": ("ignores None", "'$None'"),
    "false": ("reads false as text", "False"),
}


class Overrides:
    """Every override key must be one that something reads, and every value must be read as it is written.

    See `unknown_overrides`, `misread_words` and `custom_components.checks.paths.misread_paths`.

    Args:
        argv: a command line as in ``sys.argv``; None: this process's.
    """

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        self.argv = sys.argv if argv is None else argv

    def __call__(self) -> None:
        """Raise ValueError naming each unknown key, the nearest known one and the config files; or a value."""
        unknown = unknown_overrides(self.argv)
        if unknown:
            _, options = parse_command(self.argv)
            files = ", ".join(str(file) for file in config_files(with_args_file(options)))
            keys = "; ".join(f"{key!r} (nearest: {near!r})" if near else repr(key) for key, near in unknown)
            raise ValueError(f"unknown override {keys}: not a key of {files}, nor an argument of monai.bundle run")
        if misread := [*misread_words(self.argv), *misread_paths(self.argv)]:
            raise ValueError(misread[0])
        if with_args_file(parse_command(self.argv)[1]).get("tracking") == MLFLOW:
            check_installed()


def unknown_overrides(argv: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the override keys of a command line (and of its ``args_file``) that would be ignored.

    Args:
        argv: a command line as in ``sys.argv``.

    Returns:
        See `unknown_keys`. Empty if this is not such a command line (a test, MONAI Label, the Python API).
    """
    command, options = parse_command(argv)
    if command is None:
        return []
    options = with_args_file(options)
    files = config_files(options)
    if not files or not all(Path(file).is_file() for file in files):
        return []  # monai.bundle itself reports the missing file
    return unknown_keys(files, options)


def unknown_keys(files: Sequence[str], keys: Collection[str]) -> list[tuple[str, str | None]]:
    """Return the override keys that ``monai.bundle run`` would ignore.

    A key is known when the merged config files have it or ``monai.bundle run`` takes it as an argument. A
    nested key (``net#arg``, ``net::arg``) is also known if ``net`` is a component whose ``_target_`` takes
    ``arg``, or cannot be imported.

    Args:
        files: config files, which exist.
        keys: the override keys.

    Returns:
        Pairs of the key as written and the nearest known key, or None if none is near.
    """
    config = merged_config(files)
    arguments = run_arguments("tracking" in keys)
    unknown = []
    for written in keys:
        key = written.replace("#", "::")
        if key in arguments or key.split("::")[0] == ConfigParser.meta_key:
            continue
        siblings = _siblings(config, key, keys)
        if siblings is None:
            continue
        parent, _, leaf = key.rpartition("::")
        if leaf not in siblings:
            candidates = siblings if parent else {*siblings, *arguments}
            near = difflib.get_close_matches(leaf, sorted(candidates), n=1, cutoff=_CLOSE)
            unknown.append((written, "::".join(filter(None, (parent, near[0]))) if near else None))
    return unknown


def misread_words(argv: Sequence[str]) -> list[str]:
    """Return one line for each ``null``, ``None`` and ``false`` that MONAI would not read as it is meant.

    ``None`` passes if the config files have no other value.

    Args:
        argv: a command line as in ``sys.argv``.

    Returns:
        Empty for another kind of command line.
    """
    read = options_and_config(argv)
    if read is None:
        return []
    options, config = read[0], ConfigParser(read[1])
    arguments = run_arguments("tracking" in options)
    return [
        f"{key} is {word}, and MONAI {does} on the command line; write --{key} {right}"
        for key, word in options.items()
        if key not in arguments and word in _MISREAD
        for does, right in [_MISREAD[word]]
        if word != "None" or config.get(key) is not None
    ]


def run_arguments(tracking: bool) -> set[str]:
    """Return the names that ``monai.bundle run`` takes for itself, and those of its tracking settings."""
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
    """Return the argument names of a ``_target_``; None if they are unknown, or it takes any."""
    if isinstance(target, str) and re.fullmatch(r"\w+", target):  # a class that MONAI finds by its name
        module = _LOCATOR.get_component_module_name(target)
        target = f"{module}.{target}" if isinstance(module, str) else None
    found = locate(target) if isinstance(target, str) and re.fullmatch(r"\w+(\.\w+)+", target) else None
    try:
        parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}
