"""Look-ups in configs by id, as ``train#trainer#max_epochs`` or ``train::trainer::max_epochs``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any


def _step_in(content: Any, step: str) -> Any:
    """Return the entry of a dictionary or list; raise LookupError where there is none."""
    if isinstance(content, list) and step.isdigit():
        return content[int(step)]
    if isinstance(content, dict):
        return content[step]
    raise LookupError(step)


def at(config: Any, path: str) -> Any:
    """Return the value at an id, or None where there is none."""
    try:
        for step in re.split("#|::", path):
            config = _step_in(config, step)
    except LookupError:
        return None
    return config


def has(config: Any, path: str) -> bool:
    """Return whether an id exists; its value may be null."""
    head, _, last = path.replace("::", "#").rpartition("#")
    parent = at(config, head) if head else config
    return isinstance(parent, dict) and last in parent


def entries(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every id and value of nested content, parents before children."""
    if path:
        yield path, content
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        yield from entries(value, f"{path}#{key}" if path else str(key))


def strings(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return every id whose value is text, with the text."""
    return [(path, value) for path, value in entries(config) if isinstance(value, str)]


def targets(content: Any) -> list[str]:
    """Return the class name of each dictionary in a list, from its ``_target_``; ``""`` for other items."""
    found = [item.get("_target_", "") if isinstance(item, dict) else "" for item in content or []]
    return [str(target).rpartition(".")[2] for target in found]
