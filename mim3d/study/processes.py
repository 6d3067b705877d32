"""Processes of runs: each writes to its log, is pinned to cores, and ends with this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mim3d.catalog import ROOT
from mim3d.children import start_child


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
