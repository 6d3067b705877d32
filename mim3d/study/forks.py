"""Starting ``python -m MODULE`` as a fork of a process that has imported torch and MONAI already.

A new interpreter needs about 6 seconds of processor time to import them, and a study runs many short programs.
`ForkServer` starts this module as a program, which imports them once and then forks on request.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from mim3d.children import start_child

#: What the runs of all bundles import.
PRELOADED = ["monai.bundle", "torch.utils.tensorboard", "custom_components.checks", "custom_components.data"]
PRELOADED += ["custom_components.engine", "custom_components.handlers", "custom_components.transfer"]
_POLL = 0.05  # seconds
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Fork:
    """A running program, with the part of `subprocess.Popen` that a scheduler needs.

    Args:
        pid: of its process, which leads a group of its own.
        ended: exit statuses by pid; it is filled while programs end.
    """

    def __init__(self, pid: int, ended: Mapping[int, int]) -> None:
        self.pid, self._ended = pid, ended

    @property
    def returncode(self) -> int | None:
        """Exit status; negative: the signal that ended it; None: it runs."""
        return self._ended.get(self.pid)

    def poll(self) -> int | None:
        """Return the exit status, or None."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: if it still runs after ``timeout`` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.returncode) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_POLL)
        return status


class ForkServer:
    """Starts programs as forks. It works on Linux; see `available`. It and its programs end with this process.

    Args:
        folder: the current folder of the programs.
        threads: OpenMP threads of each program, which torch reads when it is imported.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._ended: dict[int, int] = {}
        self._pids: set[int] = set()
        self._started = threading.Semaphore(0)
        self._last = 0
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = start_child([sys.executable, "-m", __name__], cwd=folder, env=environment, **pipes)
        self._requests, self._reports = cast(IO[str], self._server.stdin), cast(IO[str], self._server.stdout)
        threading.Thread(target=self._listen, daemon=True).start()

    @staticmethod
    def available() -> bool:
        """Return whether this system has what it takes."""
        return sys.platform == "linux"

    def start(self, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Fork:
        """Start a program; it ends with this process.

        Args:
            module: dotted name, as behind ``python -m``.
            arguments: those behind it.
            log: stdout and stderr are added to this file.
            environment: variables to set.

        Raises:
            ChildProcessError: if the server has ended.
        """
        request = {"module": module, "arguments": list(arguments), "log": str(log), "environment": {**environment}}
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except OSError as error:
            raise ChildProcessError(f"the process that starts the runs has ended: {error}") from error
        self._started.acquire()
        if not self._last:
            raise ChildProcessError("the process that starts the runs has ended; its message is above")
        return Fork(self._last, self._ended)

    def _listen(self) -> None:
        """Read what the server reports, until it ends."""
        for line in self._reports:
            report = json.loads(line)
            if "status" in report:
                self._ended[report["pid"]] = report["status"]
            else:
                self._last = report["pid"]
                self._ended.pop(self._last, None)  # a number may come again
                self._pids.add(self._last)
                self._started.release()
        for pid in self._pids - set(self._ended):
            self._ended[pid] = -signal.SIGKILL
        self._last = 0
        self._started.release()


def _serve() -> None:
    """Fork a program for each line on stdin, and report on stdout when one starts and ends."""
    reports, sys.stdout = sys.stdout, sys.stderr  # an import may print
    for module in PRELOADED:
        importlib.import_module(module)
    requests = selectors.DefaultSelector()
    requests.register(0, selectors.EVENT_READ)
    rest, is_open = b"", True
    while is_open:
        if requests.select(_POLL):
            block = os.read(0, 1 << 16)
            is_open = bool(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                _report(reports, pid=_fork(json.loads(line)))
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                _report(reports, pid=found[0], status=os.waitstatus_to_exitcode(found[1]))


def _report(stream: Any, **content: int) -> None:
    print(json.dumps(content), file=stream, flush=True)


def _fork(request: dict[str, Any]) -> int:
    """Return the process that becomes the program."""
    pid = os.fork()
    if not pid:
        become_program(request["module"], request["arguments"], partial(_set_up, request))
    return pid


def become_program(module: str, arguments: Sequence[str], set_up: Callable[[], None]) -> NoReturn:
    """Run a module as ``python -m`` does, in a process that was just forked, and end the process.

    Args:
        module: dotted name.
        arguments: those behind it.
        set_up: called first, for streams and environment; what it raises ends the process, too.
    """
    status = 1
    try:
        set_up()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _set_up(request: dict[str, Any]) -> None:
    """Give the process its group, log and environment."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, encoding="utf-8", closefd=False) for n in (1, 2))
    os.environ.update(request["environment"])
    if request["environment"].get("PYTHONWARNINGS") == "ignore":
        warnings.simplefilter("ignore")


if __name__ == "__main__":
    _serve()
