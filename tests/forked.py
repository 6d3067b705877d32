"""Run ``python -m MODULE`` in a fork of the test process, which has imported torch and MONAI already.

A new interpreter needs some 6 s of processor time to import them, more than most commands need themselves. The
server of `mim3d.study.forks` would need them once more in each test process, so tests share only its last step.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import monai.bundle  # noqa: F401  imported here so that forks need not

from mim3d.study.forks import become_program


def run_module(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: int = 600
) -> tuple[int, str]:
    """Run a module as ``python -m`` does.

    Args:
        module: its dotted name.
        arguments: those behind it.
        folder: the current folder.
        environment: variables to set.
        timeout: seconds after which it is ended.

    Returns:
        Exit status (negative: the signal that ended it), and stdout and stderr together.
    """
    with tempfile.TemporaryFile() as log:
        child = os.fork()
        if not child:
            become_program(module, arguments, partial(_set_up, folder, environment, log.fileno(), timeout))
        _, status = os.waitpid(child, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read().decode(errors="replace")


def _set_up(folder: Path, environment: Mapping[str, str], log: int, timeout: int) -> None:
    """Give the program its folder, environment and log; leave behind what the test process has set up."""
    signal.alarm(timeout)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout, sys.stderr = (
        os.fdopen(stream, "w", buffering=1, encoding="utf-8", closefd=False) for stream in (1, 2)
    )
    sys.excepthook = sys.__excepthook__
    logging.getLogger().handlers.clear()
    os.chdir(folder)
    os.environ.update(environment)
    atexit._clear()  # what the test process registered is not this program's
