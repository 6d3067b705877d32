"""Ending a training whose key metric no longer improves."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

from .best_checkpoint import BestCheckpoint

logger = logging.getLogger(__name__)


class EarlyStopping:
    """End training when the key metric was not better in a number of validations.

    It reads the best epoch that `BestCheckpoint` keeps and saves, so it has no state of its own and a resumed run
    stops where the uninterrupted one does. (ignite's handler keeps a count that a resumed run loses, and takes NaN
    for an improvement.) Attach it after the validation.

    Args:
        best: attached to the evaluator.
        patience: validations without a better value; None: never stop.
        val_interval: epochs between validations.
    """

    def __init__(self, best: BestCheckpoint, patience: int | None, val_interval: int) -> None:
        self.best, self.patience, self.val_interval = best, patience, val_interval

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.patience is not None:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.val_interval), self)

    def __call__(self, engine: Engine) -> None:
        """End the run after this epoch if the patience is used up."""
        assert self.patience is not None
        idle = (engine.state.epoch - self.best.best_epoch) // self.val_interval
        if idle >= self.patience and engine.state.epoch < (engine.state.max_epochs or 0):
            logger.info(
                "training ends after epoch %d: %s was best after epoch %d, and not better in %d validations",
                *(engine.state.epoch, self.best.key_metric, self.best.best_epoch, idle),
            )
            engine.terminate()
