"""Exact repetition: what an epoch draws depends on (seed, rank, epoch) and on nothing before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.utils.misc import set_determinism

_MAX_SEED = 2**32 - 1


class ReseedEachEpoch:
    """Re-seed data order, transforms, masks, windows and dropout at the start of each epoch.

    A run resumed at epoch *n* then draws exactly what the uninterrupted run drew, with any number of workers:
    worker processes start with the epoch (persistent workers are refused) and take their seeds from the
    generator seeded here; without workers the transforms of the loader's dataset are seeded directly.

    Args:
        seed: the run's seed, >= 0.
        loader: the trainer's data loader.

    Raises:
        ValueError: for a negative seed or a loader with persistent workers.
    """

    def __init__(self, seed: int, loader: Any) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must be 0 or more")
        if getattr(loader, "persistent_workers", False):
            raise ValueError("persistent_workers=True keeps random states over epochs; resume cannot restore them")
        self.seed = seed
        self.loader = loader

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def epoch_seed(self, epoch: int) -> int:
        """Seed of one epoch on this rank."""
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        return int(np.random.SeedSequence((self.seed, rank, epoch)).generate_state(1)[0]) % _MAX_SEED

    def __call__(self, engine: Engine) -> None:
        """Seed, and let the engine start a fresh iterator that has seen the seed."""
        seed = self.epoch_seed(engine.state.epoch)
        set_determinism(seed=seed, use_deterministic_algorithms=None)
        torch.backends.cudnn.deterministic = False  # set_determinism trades speed for it; repetition is documented
        torch.backends.cudnn.benchmark = True
        if self.loader.num_workers == 0:
            set_rnd(self.loader.dataset, seed)
        engine.set_data(self.loader)
