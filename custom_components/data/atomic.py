"""Writing files so that an interruption leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

#: What the name of a file begins with while it is being written.
PARTIAL = ".tmp_"


def write_atomically(target: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary path in the same folder, then move the file into place.

    The temporary name is hidden and ends as the target's, as writers go by the suffix. It is the same each time:
    what a killed process left is overwritten by the next one. Two processes must not write one target at once.

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
