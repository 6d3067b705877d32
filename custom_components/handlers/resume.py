"""Saving the whole state of a run after each epoch, so that it can continue exactly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.atomic import save_tensors
from custom_components.distributed import rank
from custom_components.faults import Fault
from custom_components.handlers.best_checkpoint import check_finite
from custom_components.transfer import plain, read_resume_checkpoint

logger = logging.getLogger(__name__)


class ResumeCheckpoint:
    """Save a run's state after each epoch, and continue from it.

    The file holds the state of every named object, the trainer's epoch and iteration, the GradScaler's state, and
    the run's settings, which `custom_components.checks.Resume` compares. Random states are not saved, see
    `ReseedEachEpoch`. Attach it last, after the trainer is built: a handler in the trainer's own list cannot name
    objects that hold the trainer.

    Args:
        path: the file, ``models/resume.pt``.
        objects: name -> anything with ``state_dict`` and ``load_state_dict``; modules unwrapped.
        resume: continue from ``path`` when the run starts.
        settings: config key -> its value, of the settings that a resumed run must keep.

    Raises:
        ValueError: when the run starts, if the file is missing, damaged or holds other objects.
        Fault: when the run starts, if the file is already at the requested number of epochs; when a state is not
            finite, or the disk is full; the file keeps the epoch before.
    """

    def __init__(
        self,
        path: str,
        objects: Mapping[str, Any],
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.resume = resume
        self.settings = dict(settings or {})
        self.epoch = 0  # the last one that the file of this run holds

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """Write the file on rank 0."""
        if rank() == 0:
            content = {name: item.state_dict() for name, item in self.objects.items()}
            check_finite(content, self.path, engine.state.epoch)
            content["trainer"] = {
                key: getattr(engine.state, key) for key in ("epoch", "iteration", "epoch_length")
            }
            content["settings"] = plain(self.settings)
            scaler = getattr(engine, "scaler", None)
            if scaler is not None:
                content["scaler"] = scaler.state_dict()
            save_tensors(self.path, content)
        self.epoch = engine.state.epoch

    def load(self, engine: Engine) -> None:
        """Restore every object, and the trainer's position."""
        content = read_resume_checkpoint(self.path, [*self.objects, "trainer"])
        trainer = content["trainer"]
        if trainer["epoch"] >= engine.state.max_epochs:
            raise Fault(
                f"{self.path} is at epoch {trainer['epoch']} and epochs is {engine.state.max_epochs}; "
                "raise epochs to train on"
            )
        if trainer["epoch_length"] != engine.state.epoch_length:
            logger.warning(
                "an epoch had %s iterations and now has %s, because the data or the batch size changed; "
                "the run continues at the start of an epoch",
                trainer["epoch_length"],
                engine.state.epoch_length,
            )
        for name, item in self.objects.items():
            item.load_state_dict(content[name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        engine.state.epoch = self.epoch = trainer["epoch"]
        engine.state.iteration = trainer["epoch"] * engine.state.epoch_length
        logger.info("resumed %s after epoch %d", self.path, trainer["epoch"])
