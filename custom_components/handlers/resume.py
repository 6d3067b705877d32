"""Interrupting and going on: one file with everything a run needs to continue exactly."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .atomic import save_atomically

logger = logging.getLogger(__name__)


class WarmupCosine(LambdaLR):
    """Linear warm-up, then half a cosine down to ``end_factor`` of the rate.

    As `monai.optimizers.WarmupCosineSchedule`, but its state is only the step count: a resumed run that asks
    for more epochs gets the schedule its config describes, not the one in the file.

    Args:
        optimizer: whose rates are scheduled.
        warmup_steps: steps from ``warmup_factor`` to the full rate, >= 0.
        total_steps: steps until ``end_factor`` is reached, > ``warmup_steps``.
        end_factor: last factor, in [0, 1].
        warmup_factor: first factor, in [0, 1].

    Raises:
        ValueError: when the numbers do not fit together.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        end_factor: float = 0.0,
        warmup_factor: float = 0.0,
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warm-up of {warmup_steps} steps does not fit into {total_steps} steps in all")
        if not (0 <= end_factor <= 1 and 0 <= warmup_factor <= 1):
            raise ValueError(f"end_factor {end_factor} and warmup_factor {warmup_factor} must be in [0, 1]")
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.end_factor, self.warmup_factor = end_factor, warmup_factor
        super().__init__(optimizer, self.factor)

    def factor(self, step: int) -> float:
        """Factor of the rate at a step."""
        if step < self.warmup_steps:
            return self.warmup_factor + (1 - self.warmup_factor) * step / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))

    def state_dict(self) -> dict[str, Any]:
        """The step count alone."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to the saved step of *this* schedule."""
        self.last_epoch = int(state_dict["last_epoch"])
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * self.factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class ResumePoint:
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
        save_atomically(content, self.path)

    def load(self, engine: Engine) -> None:
        """Restore every object and the trainer's position."""
        content = read_resume_point(self.path, [*self.objects, "trainer"])
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


def read_resume_point(path: Path, names: list[str]) -> dict[str, Any]:
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
