"""Epochs and validations that give a training its optimizer steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Length of a training.

    Attributes:
        epochs: a multiple of ``val_interval``, so that the last epoch is validated.
        val_interval: epochs between validations.
        steps: optimizer steps in all.
    """

    epochs: int
    val_interval: int
    steps: int


def schedule(steps: int, steps_per_epoch: int, validations: int) -> Schedule:
    """Return the schedule whose steps are nearest to those asked for.

    Args:
        steps: optimizer steps asked for, at least 1.
        steps_per_epoch: of the data and the batch size, at least 1.
        validations: points on the validation curve asked for; a short training has fewer, and lengths between
            two numbers of epochs may have some more or less.
    """
    target = max(1, round(steps / steps_per_epoch))
    low = max(1, target // validations)
    best = min(
        range(low, max(low, -(-target // validations)) + 1),
        key=lambda interval: (abs(_rounded(target, interval) - target), interval),
    )
    epochs = _rounded(target, best)
    return Schedule(epochs, best, epochs * steps_per_epoch)


def _rounded(target: int, interval: int) -> int:
    return interval * max(1, round(target / interval))
