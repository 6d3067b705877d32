"""Writing files so that an interruption leaves the old file or the new one, never half of one."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: What the name of a file begins with while it is being written.
PARTIAL = ".tmp_"


def write_atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path in the same folder, then move the file into place.

    The temporary name is hidden and keeps the target's suffix, because writers choose the format by it. It is the
    same each time, so that the next call replaces what a killed process left. Two processes must not write one
    target at once.

    Args:
        target: the file; its folder is made.
        write: writes the whole content to the path that it is given.
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
    """Write indented JSON atomically; what JSON does not know becomes text."""
    write_text(target, json.dumps(content, indent=2, default=str) + "\n")


def write_csv(target: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV atomically; the columns are all keys in order of appearance, None is left empty."""
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
