"""Checks of a run's folder: does it hold another run's results, and is another run using it now?"""

from __future__ import annotations

import atexit
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_components.checks.folders import check_folder
from custom_components.distributed import rank
from custom_components.transfer import card_path

logger = logging.getLogger(__name__)
LOCK = ".lock"
RESUME = "resume.pt"
_RESULTS = ("model.pt", "pretext.pt", RESUME)


class RunFolder:
    """A run must not write over the results of another one.

    Args:
        ckpt_dir: folder of weights, cards and the resume file; it need not exist yet.
        resume: whether the run continues the one in the folder.
        overwrite: whether the results of the other run are to be replaced. The files stay until the new run saves
            its own.
        names: of files that a run saves.
    """

    def __init__(
        self, ckpt_dir: str, resume: bool = False, overwrite: bool = False, names: Sequence[str] = _RESULTS
    ) -> None:
        self.folder, self.resume, self.overwrite = Path(ckpt_dir), resume, overwrite
        self.names = [name for file in names for name in (file, card_path(file).name)]

    def __call__(self) -> str | None:
        """Return what is overwritten; raise ValueError naming the files and how to go on."""
        found = [name for name in self.names if (self.folder / name).is_file()]
        if not found or self.resume:
            return None
        if self.overwrite:
            return f"{self.folder}: {', '.join(found)} will be replaced"
        ways = ["train into another folder with --ckpt_dir", "replace them with --overwrite True"]
        if RESUME in found:
            ways.insert(0, "continue it with --resume True")
        raise ValueError(
            f"ckpt_dir {self.folder} holds the results of another run ({', '.join(found)}):"
            f" {', '.join(ways[:-1])}, or {ways[-1]}"
        )


#: Locked files of this process; a lock lasts as long as the process.
_held: dict[Path, Any] = {}


class RunLock:
    """Only one run may write into a folder at a time.

    The lock is on the file ``.lock`` and ends with the process, however it ends. All ranks of a run are one run;
    so are runs that follow one another in one process. Where the file system has no locks, a warning is logged.

    Args:
        ckpt_dir: the folder; it is created.
        folder: checked again under the lock, because another run may just have ended; None: not checked.
    """

    def __init__(self, ckpt_dir: str, folder: RunFolder | None = None) -> None:
        self.ckpt_dir, self.folder = ckpt_dir, folder

    def __call__(self) -> None:
        """Take the lock on rank 0; raise ValueError naming the process that has it."""
        if rank() != 0:
            return
        path = Path(os.path.realpath(self.ckpt_dir)) / LOCK
        if path not in _held:
            check_folder("ckpt_dir", self.ckpt_dir)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take(path)
        if self.folder is not None:
            self.folder()

    def _take(self, path: Path) -> None:
        try:
            import fcntl  # only on Linux and macOS
        except ImportError:
            logger.warning("this system has no file locks: do not start a second run in %s", self.ckpt_dir)
            return
        file = path.open("a+", encoding="utf-8")
        try:
            # Of the process, so that data-loader workers do not inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise ValueError(
                f"ckpt_dir {self.ckpt_dir} is in use by another run ({owner}); wait for its end, or train into"
                " another folder with --ckpt_dir"
            ) from None
        except OSError as error:
            file.close()
            logger.warning("%s cannot be locked (%s): do not start a second run there", path, error.strerror)
            return
        if not os.path.exists(path) or not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            file.close()  # a run that just ended has removed this file, so nobody else would see the lock on it
            self._take(path)
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held[path] = file


@atexit.register
def _release() -> None:
    """Remove the lock files of this process, not of a worker that was forked from it."""
    for path, file in _held.items():
        file.seek(0)
        if file.read().startswith(f"process {os.getpid()} "):
            path.unlink(missing_ok=True)
        file.close()
