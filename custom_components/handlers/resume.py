"""Interrupting and going on: one file with everything a run needs to continue exactly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from custom_components.atomic import save_tensors

logger = logging.getLogger(__name__)


class ResumeCheckpoint:
    """Save a run's state after each epoch, and continue from it.

    Attach it last to the trainer, outside the trainer's own handler list (a handler in that list cannot name
    objects that hold the trainer). The file holds the state of every named object, the trainer's epoch and
    iteration, and the GradScaler's scale; random states need no saving, see `ReseedEachEpoch`.

    Args:
        path: the file, ``models/resume.pt``.
        objects: name -> anything with ``state_dict`` and ``load_state_dict``; modules unwrapped.
        resume: whether to continue from ``path`` when the run starts.

    Raises:
        ValueError: at the start, when the file is missing, damaged, belongs to other objects, or is at or past
            the number of epochs asked for.
    """

    def __init__(self, path: str, objects: Mapping[str, Any], resume: bool = False) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """Write the file (rank 0)."""
        if int(getattr(engine.state, "rank", 0)) != 0:
            return
        content = {name: item.state_dict() for name, item in self.objects.items()}
        content["trainer"] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "epoch_length": engine.state.epoch_length,
        }
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            content["scaler"] = scaler.state_dict()
        save_tensors(self.path, content)

    def load(self, engine: Engine) -> None:
        """Restore every object and the trainer's position."""
        content = read_resume_checkpoint(self.path, [*self.objects, "trainer"])
        trainer = content["trainer"]
        if trainer["epoch"] >= engine.state.max_epochs:
            raise ValueError(
                f"{self.path} is at epoch {trainer['epoch']} and {engine.state.max_epochs} epochs are asked for; "
                "ask for more epochs to train on"
            )
        if trainer["epoch_length"] != engine.state.epoch_length:
            logger.warning(
                "an epoch had %s iterations and now has %s: the data or the batch changed, and the run goes on "
                "from the start of an epoch",
                trainer["epoch_length"],
                engine.state.epoch_length,
            )
        for name, item in self.objects.items():
            item.load_state_dict(content[name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        engine.state.epoch = trainer["epoch"]
        engine.state.iteration = trainer["epoch"] * engine.state.epoch_length
        logger.info("resumed %s after epoch %d", self.path, trainer["epoch"])


def read_resume_checkpoint(path: Path, names: list[str]) -> dict[str, Any]:
    """Read a resume file on the CPU.

    Raises:
        ValueError: when it is missing, damaged, or lacks one of ``names``.
    """
    if not path.is_file():
        raise ValueError(f"there is nothing to resume: {path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different class for each kind of damage
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} cannot be read (damaged, or no resume file): {reason}") from None
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(f"{path} holds {sorted(content)}; this run also needs {missing}")
    return content
