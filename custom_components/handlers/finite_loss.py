"""Ending a run whose loss is NaN or infinite, with the files of the batch."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine, Events

from custom_components.engine.batch_files import not_finite
from custom_components.faults import Fault


class FiniteLoss:
    """After each step of MONAI's trainer, end the run if the loss is not finite, before anything is saved.

    `PretrainTrainer` does the same by itself. The files of the batch are named if the batch has them under the key
    ``files``.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer whose output is a dictionary with ``loss``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Raise Fault if the loss is not finite."""
        loss = float(engine.state.output["loss"].detach())
        if not math.isfinite(loss):
            raise Fault(not_finite(engine, f"the loss is {loss}", engine.state.batch))
