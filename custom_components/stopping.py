"""How signals end a program: SIGTERM and Ctrl-C in one line, with the exit status 128 plus the signal's number."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import cache
from types import FrameType


class Stopped(SystemExit):
    """The end that a signal asked for.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)

    def __str__(self) -> str:
        return f"{Stopped.__name__} with exit status {self.code}"


def stop_on_sigterm() -> None:
    """From now on SIGTERM raises `Stopped`, so that files are closed and child processes end.

    Does nothing outside the main thread, or if the program handles SIGTERM itself.
    """
    if in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
        leave_workers_alone()


def in_main_thread() -> bool:
    """Return True where Python allows signal handlers to be set."""
    return threading.current_thread() is threading.main_thread()


def say(line: str) -> None:
    """Write a line on stderr from a signal handler, which may interrupt a ``print``."""
    os.write(2, f"\n{line}\n".encode())


def close_bars() -> None:
    """Close progress bars, which would otherwise be drawn again behind the last line of a program."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # if nothing imported it, there is no bar
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()


@cache
def leave_workers_alone() -> None:
    """Let data-loader workers, which are forked, die of SIGTERM at once and leave Ctrl-C to their parent."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_reset)


def _stop(number: int, frame: FrameType | None) -> None:
    say(f"stopped by {signal.Signals(number).name}")
    raise Stopped(number)


def _reset() -> None:
    # A handler in Python would wait for a worker that is stuck in C code. Handlers of other programs stay.
    if str(getattr(signal.getsignal(signal.SIGTERM), "__module__", "")).startswith("custom_components."):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
