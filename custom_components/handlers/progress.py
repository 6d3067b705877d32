"""A progress bar over a whole run with the loss, and the time spent waiting for data."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import Timer
from torch import Tensor
from tqdm import tqdm

logger = logging.getLogger(__name__)


class ProgressLog:
    """A tqdm bar over all iterations of all epochs; logs the data time and the step time of each epoch.

    Args:
        description: text in front of the bar.
    """

    def __init__(self, description: str = "train") -> None:
        self.description = description
        self.bar: Any = None
        self.data_timer, self.step_timer = Timer(average=False), Timer(average=False)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        start = Events.EPOCH_STARTED
        batch, step = (
            {"pause": Events.GET_BATCH_COMPLETED, "resume": Events.GET_BATCH_STARTED},
            {"pause": Events.ITERATION_COMPLETED, "resume": Events.ITERATION_STARTED},
        )
        self.data_timer.attach(engine, start=start, **batch)
        self.step_timer.attach(engine, start=start, **step)
        engine.add_event_handler(start, self.step_timer.pause)  # an epoch starts by waiting for its first batch
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log_times)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _advance(self, engine: Engine) -> None:
        state = engine.state
        if self.bar is None:
            total = (state.max_epochs or 0) * (state.epoch_length or 0)
            done = state.iteration - 1
            self.bar = tqdm(total=total, initial=done, desc=self.description, unit="it", mininterval=1)
        loss = f"{_loss(state.output):.4f}"
        self.bar.set_postfix(epoch=f"{state.epoch}/{state.max_epochs}", loss=loss, refresh=False)
        self.bar.update()

    def _log_times(self, engine: Engine) -> None:
        logger.info(
            "epoch %d: %.1f s waiting for data, %.1f s in steps",
            *(engine.state.epoch, self.data_timer.value(), self.step_timer.value()),
        )

    def _close(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _loss(output: Any) -> float:
    """Return the total loss from the dictionary of our trainers, or from the decollated list of MONAI's."""
    first = output[0] if isinstance(output, list) else output
    value = first["loss"]
    return float(value.detach() if isinstance(value, Tensor) else value)
