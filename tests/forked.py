"""Run ``python -m MODULE`` in a fork of the test process, which has imported torch and MONAI already.

A new interpreter needs some 6 s of processor time to import them, more than most commands need themselves.
"""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import monai.bundle  # noqa: F401  imported here so that forks need not


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
            _be_the_program(module, arguments, folder, environment, log.fileno(), timeout)
        _, status = os.waitpid(child, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read().decode(errors="replace")


def _be_the_program(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: int, timeout: int
) -> None:
    """Become the program; never returns."""
    status = 1
    try:
        signal.alarm(timeout)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
        sys.excepthook = sys.__excepthook__
        logging.getLogger().handlers.clear()
        os.chdir(folder)
        os.environ.update(environment)
        atexit._clear()  # what the test process registered is not this program's
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info()) if sys.excepthook is not sys.__excepthook__ else traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
