"""Exact repetition: the random draws of an epoch depend only on seed, rank and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.utils.misc import set_determinism

from custom_components.distributed import rank
from custom_components.number_checks import check_number

_MAX_SEED = 2**32 - 1


class ReseedEachEpoch:
    """Seed data order, transforms, masks, windows and dropout at the start of each epoch.

    A run that resumes at an epoch then draws exactly what the uninterrupted run drew, with any number of workers.
    Worker processes start with the epoch and take their seeds from the generator that is seeded here. Without
    workers, the transforms of the loader's dataset are seeded directly.

    Args:
        seed: the run's seed, at least 0.
        loader: the trainer's data loader.

    Raises:
        ValueError: for a negative seed, or a loader with persistent workers, which keep their random states.
    """

    def __init__(self, seed: int, loader: Any) -> None:
        check_number(seed, "seed", at_least=0, whole=True)
        if getattr(loader, "persistent_workers", False):
            raise ValueError("persistent_workers=True keeps random states over epochs; resume cannot restore them")
        self.seed = seed
        self.loader = loader

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def epoch_seed(self, epoch: int) -> int:
        """Return the seed of one epoch on this rank."""
        return int(np.random.SeedSequence((self.seed, rank(), epoch)).generate_state(1)[0]) % _MAX_SEED

    def __call__(self, engine: Engine) -> None:
        """Seed, and let the engine start a new iterator, which then uses the seed."""
        seed = self.epoch_seed(engine.state.epoch)
        set_determinism(seed=seed, use_deterministic_algorithms=None)
        torch.backends.cudnn.deterministic = False  # set_determinism makes cuDNN deterministic, which is slow
        torch.backends.cudnn.benchmark = True
        if self.loader.num_workers == 0:
            set_rnd(self.loader.dataset, seed)
        engine.set_data(self.loader)
