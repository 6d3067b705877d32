"""Running programs that end when this one ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

#: Seconds that a program has to end by itself after a signal; a training ends after its current step.
GRACE_SECONDS = 30
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here, because a child may load nothing between its start and the program that it becomes.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_child(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program in a process group of its own, for `end_groups`.

    On Linux it also gets SIGTERM if this program is killed.

    Args:
        command: the program and its arguments.
        **options: as for `subprocess.Popen`.
    """
    parent = os.getpid()
    return subprocess.Popen(
        command, start_new_session=True, preexec_fn=lambda: _end_with_parent(parent), **options
    )


class Process(Protocol):
    """What `end_groups` needs of a process, for example `subprocess.Popen`."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""


def end_groups(processes: Sequence[Process], grace: float = GRACE_SECONDS) -> None:
    """End processes and their children: one SIGTERM for all, then SIGKILL for what is left.

    A second SIGTERM would end a training at once.

    Args:
        processes: leaders of their groups, as those of `start_child` are.
        grace: seconds between the two signals.
    """
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    until = time.monotonic() + grace
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)


def _signal_group(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_with_parent(parent: int) -> None:
    """In the child: ask the kernel for SIGTERM when the parent dies, however it dies."""
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request
        os.kill(os.getpid(), signal.SIGTERM)
