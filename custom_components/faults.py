"""Faults of the user's files or machine: they end a program with one line, wherever in a run they are found."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from types import TracebackType

from custom_components.machine import machine_fault
from custom_components.stopping import Stopped, close_bars

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


class Fault(ValueError):
    """Something that the user must change: a damaged file, a full disk, values that are not finite.

    Raise it with one line that names the file or key, what was found, what is allowed and what to do.
    """


# A data loader's worker hands its traceback on as text. Its last line that starts so holds the message.
_IN_TEXT = re.compile(rf"^(?:{re.escape(__name__)}\.)?{Fault.__name__}: (.+)$", re.MULTILINE)


def fault_in(error: BaseException | None) -> str | None:
    """Return the message of the `Fault` that caused an exception, in one line; None if none did.

    MONAI wraps what a transform or a config raises, and a data loader's worker hands on text only; all exceptions
    of the chain, and their texts, are searched. A full disk, and a data-loader worker that is stuck or was killed,
    are faults too.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Fault):
            return " ".join(str(error).split())
        if in_text := _IN_TEXT.findall(str(error)):
            return " ".join(in_text[-1].split())
        if of_machine := machine_fault(error):
            return of_machine
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def first_cause(error: BaseException) -> BaseException:
    """Return the exception that an exception was raised from, at the start of the chain.

    MONAI wraps what a class raises while a config is resolved.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def end_faults_in_one_line() -> None:
    """From now on an uncaught exception that a `Fault` caused prints ``error: ...`` and no traceback.

    The exit status stays 1. Other exceptions keep their traceback, because they are defects; Ctrl-C has one line.
    ignite's log record of the same exception is left out, because it would repeat a worker's traceback.
    """
    if isinstance(sys.excepthook, _OneLine):
        return
    sys.excepthook = _OneLine(sys.excepthook)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_says_something_new)


def _says_something_new(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    told = (Fault.__name__, Stopped.__name__, "DataLoader", "No space left")
    return not ("is terminating due to exception" in message and any(name in message for name in told))


class _OneLine:
    """An ``excepthook`` that shows faults in one line, and hands everything else to the former hook."""

    def __init__(self, former: ExceptHook) -> None:
        self.former = former

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = fault_in(error)
        close_bars()
        if issubclass(kind, KeyboardInterrupt):
            print("\nstopped by SIGINT", file=sys.stderr, flush=True)
        elif message is None:
            self.former(kind, error, trace)
        else:
            print(f"error: {message}", file=sys.stderr, flush=True)
