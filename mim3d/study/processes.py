"""Processes of runs: each writes to its log, is pinned to cores, and ends with this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mim3d.catalog import ROOT
from mim3d.children import end_group, start_child


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str], cores: Sequence[int]
) -> subprocess.Popen[Any]:
    """Start a command; its output is added to a log file.

    Args:
        command: the command line.
        log: the file.
        environment: variables besides those of this process.
        cores: cores that it may use; empty, or a system that cannot pin: any.
    """
    with log.open("ab") as output:
        process = start_child(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.sched_setaffinity(process.pid, cores)
    return process


def end_all(processes: Sequence[subprocess.Popen[Any]], patience: float) -> None:
    """End processes and their children: all are asked at once, then killed.

    Args:
        processes: of `start`.
        patience: seconds in which each may save its state.
    """
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        end_group(process, patience)
