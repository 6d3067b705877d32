"""Processes of runs: each writes to its log, is pinned to cores, and ends with this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mim3d.catalog import ROOT
from mim3d.children import start_child
from mim3d.study.forks import Fork, ForkServer


class Launcher:
    """Starts the commands of runs.

    Args:
        threads: OpenMP threads of each run.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._server: ForkServer | None = None

    def start(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], cores: Sequence[int]
    ) -> subprocess.Popen[Any] | Fork:
        """Start a command; its output is added to a log file.

        Args:
            command: the command line; ``python -m MODULE`` starts as a fork where the system can do that.
            log: the file.
            environment: variables besides those of this process.
            cores: cores that it may use; empty, or a system that cannot pin: any.
        """
        if list(command[:2]) == [sys.executable, "-m"] and ForkServer.available():
            self._server = self._server or ForkServer(ROOT, self.threads)
            process: subprocess.Popen[Any] | Fork = self._server.start(command[2], command[3:], log, environment)
        else:
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
