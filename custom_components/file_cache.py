"""Reading a file once per process, although several parts of a run need its content."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Generic, TypeVar

Content = TypeVar("Content")
PathLike = str | os.PathLike[str]
#: A younger file is always read anew: a second write within the clock's resolution would not change its time.
_SETTLED_NS = 2 * 10**9


class OncePerFile(Generic[Content]):
    """A reader of files that keeps what it read while path, size and modification time stay the same.

    Args:
        read: reads one file.
        files: how many files' contents are kept; None: all.
    """

    def __init__(self, read: Callable[[str], Content], files: int | None) -> None:
        self._read = read
        self._kept = lru_cache(maxsize=files)(lambda path, size, changed, number: read(path))
        self.forget = self._kept.cache_clear
        wraps(read)(self)

    def __call__(self, path: PathLike) -> Content:
        """Return the content of the file at ``path``; do not change it in place."""
        name = os.path.abspath(path)
        try:
            found = os.stat(name)
        except OSError:  # the reader knows what to say
            return self._read(str(path))
        if time.time_ns() - found.st_mtime_ns < _SETTLED_NS:
            return self._read(str(path))
        return self._kept(str(path), found.st_size, found.st_mtime_ns, found.st_ino)


def once_per_file(files: int | None = None) -> Callable[[Callable[[str], Content]], OncePerFile[Content]]:
    """Decorate a reader of files so that it reads each file once, see :class:`OncePerFile`."""
    return lambda read: OncePerFile(read, files)
