"""Running programs that end when this one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

#: Seconds that a program has to end by itself after a signal; a training ends after its current step.
GRACE_SECONDS = 30
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here, because a child may load nothing between its start and the program that it becomes.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_child(command: Sequence[str], **options: Any) -> int:
    """Run a program and return its exit status; if this one is interrupted meanwhile, end the program first.

    Args:
        command: the program and its arguments.
        **options: as for `subprocess.Popen`.
    """
    process = start_child(command, **options)
    try:
        return process.wait()
    except BaseException:
        end_group(process)
        raise


def start_child(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program in a process group of its own, for `end_group`.

    On Linux it also gets SIGTERM if this program is killed.

    Args:
        command: the program and its arguments.
        **options: as for `subprocess.Popen`.
    """
    parent = os.getpid()
    return subprocess.Popen(
        command, start_new_session=True, preexec_fn=lambda: _end_with_parent(parent), **options
    )


def end_group(process: subprocess.Popen[Any], grace: float = GRACE_SECONDS) -> None:
    """End a process and its children: SIGTERM, then SIGKILL for what is left.

    Args:
        process: started with ``start_new_session``.
        grace: seconds between the two signals.
    """
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(grace)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _end_with_parent(parent: int) -> None:
    """In the child: ask the kernel for SIGTERM when the parent dies, however it dies."""
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request
        os.kill(os.getpid(), signal.SIGTERM)
