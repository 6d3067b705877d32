"""TensorBoard scalars whose folder is named when it cannot be written to."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.handlers.tensorboard_handlers import TensorBoardStatsHandler

from custom_components.faults import Fault
from custom_components.machine import free_space


class TensorBoardLog(TensorBoardStatsHandler):
    """MONAI's handler; the events are on disk when the program ends, also if it is stopped.

    Args:
        log_dir: folder of the event files.
        kwargs: as for `TensorBoardStatsHandler`.

    Raises:
        Fault: in a run, if the disk is full or the folder cannot be written to.
    """

    def __init__(self, log_dir: str, **kwargs: Any) -> None:
        self.log_dir = log_dir
        super().__init__(log_dir=log_dir, **kwargs)
        weakref.finalize(self, close_events, self._writer)  # also at the end of the program

    def epoch_completed(self, engine: Engine) -> None:
        """Write the values of an epoch."""
        try:
            super().epoch_completed(engine)
            self._writer.flush()
        except OSError as error:
            raise events_fault(self.log_dir, error) from error

    def iteration_completed(self, engine: Engine) -> None:
        """Write the values of a step."""
        try:
            super().iteration_completed(engine)
        except OSError as error:
            raise events_fault(self.log_dir, error) from error


def events_fault(log_dir: str, error: OSError) -> Fault:
    """Return the fault of a folder that takes no more events."""
    reason = error.strerror or str(error)
    return Fault(
        f"{log_dir}: the TensorBoard events cannot be written: {reason} ({free_space(Path(log_dir))});"
        " weights and resume files saved so far are intact"
    )


def close_events(writer: Any) -> None:
    """Close a writer; a full disk is one line, because nothing can be raised at the end of a program."""
    try:
        writer.close()
    except OSError as error:
        print(f"warning: TensorBoard events are incomplete: {error}", file=sys.stderr)
