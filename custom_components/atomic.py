"""Writing files atomically: an interruption leaves the old file or the new one. Also reading JSON objects."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_components.faults import Fault
from custom_components.machine import free_space, os_error_in

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

    Raises:
        Fault: if the file cannot be written, for example because the disk is full.
    """
    write_together({target: write})


def write_together(writers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write several files; move them into place only after all of them are complete, see `write_atomically`.

    Args:
        writers: file -> what writes its whole content to the given temporary path. They are called in order, so a
            later one can read `partial_path` of an earlier one.

    Raises:
        Fault: if a file cannot be written. Then none of the files has changed.
    """
    try:
        for target, write in writers.items():
            _write(target, write, writers)
        for target in writers:
            os.replace(partial_path(target), target)
    finally:
        for target in writers:
            _remove(partial_path(target))


def _write(target: Path, write: Callable[[Path], object], together: Mapping[Path, object]) -> None:
    """Write one partial file; raise Fault if the system refuses, saying which of ``together`` are there."""
    partial = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # some file systems report a full disk only now
    except (OSError, RuntimeError) as error:
        refusal = os_error_in(error)
        if refusal is None or refusal.filename not in (None, str(partial), str(target.parent)):
            raise  # a defect of the writer, or a file that it reads
        there = [path.name for path in together if path.exists()]
        kept = f"{', '.join(there)} from before is unchanged" if there else "no earlier file was there"
        raise Fault(f"{target} cannot be written: {refusal.strerror} ({free_space(target)}); {kept}") from error


def partial_path(target: Path) -> Path:
    """Return the temporary path of a file while it is being written."""
    return target.with_name(f"{PARTIAL}{target.name}")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # its folder cannot be reached; the fault that says so is on its way
        path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(target, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON atomically; values that JSON lacks become text."""
    write_text(target, json_text(content))


def json_text(content: Mapping[str, Any]) -> str:
    """Return indented JSON; values that JSON lacks become text."""
    return json.dumps(content, indent=2, default=str) + "\n"


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


def write_tensors(target: Path, content: Any) -> None:
    """Write ``content`` with ``torch.save``, not atomically; a writer for `write_together`."""
    import torch  # here, so that commands that write text do not wait for it

    # Not given the path: torch's own writer would report a full disk without the system's reason.
    with target.open("wb") as file:
        torch.save(content, file)


def save_tensors(target: Path, content: Any) -> None:
    """Write ``content`` with ``torch.save`` atomically."""
    write_atomically(target, lambda partial: write_tensors(partial, content))
