"""What the machine does to a run, in one line each: a full disk, a stuck or killed worker. Sizes and times."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

_WITHOUT_SPACE = (errno.ENOSPC, errno.EDQUOT)
#: In torch's messages: a worker is stuck; a worker ended.
_TIMED_OUT = re.compile(r"DataLoader timed out after ([\d.]+) seconds")
_WORKER_ENDED = re.compile(r"DataLoader worker.*?(?:killed by signal: (\w+)|exited unexpectedly)")


def machine_fault(error: BaseException) -> str | None:
    """Return the message for an exception that neither the user's files nor the code caused; None for others."""
    if isinstance(error, OSError) and error.errno in _WITHOUT_SPACE:
        where = f"{error.filename} cannot be written" if error.filename else "a file cannot be written"
        return f"{where}: {error.strerror}; files that were complete before are unchanged"
    if not isinstance(error, RuntimeError):
        return None
    if found := _TIMED_OUT.search(str(error)):
        return (
            f"the data-loader workers gave no batch for {float(found[1]):g} s: a worker is stuck, or files are"
            " read very slowly; raise worker_timeout (0: wait for ever), or set num_workers to 0"
        )
    if found := _WORKER_ENDED.search(str(error)):
        how = f"was ended by the signal {found[1]}" if found[1] else "ended unexpectedly"
        return f"a data-loader worker {how}, often because memory ran out; lower num_workers or cache_rate"
    return None


def os_error_in(error: BaseException | None) -> OSError | None:
    """Return the operating system's error in a chain of exceptions; None if there is none.

    torch and others replace it by another one while they close their file.
    """
    while error is not None and not (isinstance(error, OSError) and error.errno is not None):
        error = error.__cause__ or error.__context__
    return error


def free_space(path: Path) -> str:
    """Return the free space where a file is to be written: ``1.2 GB free in /data/models``."""
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return f"{readable(shutil.disk_usage(folder).free)} free in {folder}"


def readable(size: float) -> str:
    """Return a number of bytes as text: ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def readable_time(seconds: float) -> str:
    """Return a time as text: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
