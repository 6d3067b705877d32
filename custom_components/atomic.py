"""Writing files atomically: an interruption leaves the old file or the new one. Also reading JSON objects."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Prefix of a file's name while it is being written.
PARTIAL = ".tmp_"


def write_atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path in the same folder, then move the file into place.

    The temporary name starts with a dot and keeps the target's suffix, because writers choose the format by it. It
    is always the same, so the next call replaces what a killed process left. Two processes must not write one
    target at the same time.

    Args:
        target: the file; its folder is created.
        write: writes the whole content to the given path.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL}{target.name}")
    try:
        write(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(target, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON atomically; values that JSON lacks become text."""
    write_text(target, json.dumps(content, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: if the file is missing, unreadable, or holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def write_csv(target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV atomically; columns are all keys in order of appearance; None stays empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(target, write)


def save_tensors(target: Path, content: Any) -> None:
    """Write ``content`` with ``torch.save`` atomically."""
    import torch  # here, so that commands that write text do not wait for it

    write_atomically(target, lambda partial: torch.save(content, partial))
