"""Child processes that end with their parent, each with its children as a group."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mim3d.catalog import ROOT

_PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str], cores: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start a command as the leader of a process group; its output is added to a log file.

    Args:
        command: the command line.
        log: the file.
        environment: variables besides those of this process.
        cores: cores that it may use; where the system cannot pin, any.
    """

    def become_child() -> None:
        if sys.platform == "linux":  # the child gets SIGTERM if this process is killed
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if hasattr(os, "sched_setaffinity") and cores:
            os.sched_setaffinity(0, cores)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=become_child,
        )


def end_all(processes: Sequence[subprocess.Popen[bytes]], patience: float) -> None:
    """End process groups: ask them, wait up to ``patience`` seconds, then kill."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    end = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            end = 0.0
    for process in processes:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # all its processes have ended
        return
