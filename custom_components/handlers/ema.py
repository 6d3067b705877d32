"""Averaged weights: a slow copy of the network that follows the trained one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

logger = logging.getLogger(__name__)


class EMA:
    """Exponential moving average of a network's weights over the optimizer's steps.

    After the first step the copy holds the network's weights, after each later one ``decay · copy + (1 - decay) ·
    network``. Frozen parameters stay as they are, bit for bit; buffers are copied, not averaged. Between the steps
    of an accumulated gradient nothing happens; a step that a float16 GradScaler left out counts as one whose
    weights did not change.

    Evaluate and save `module`: keys, and ``pretext.network`` being what its backbone reads, are as in the network.

    Args:
        network: the unwrapped network, also where the trainer's is a DistributedDataParallel around it: ranks hold
            equal weights and so equal averages.
        decay: share of the copy that a step keeps, in (0, 1); ``None`` averages nothing and makes no copy.

    Raises:
        ValueError: for a decay outside (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float | None) -> None:
        check_decay(decay)
        self.network = network
        self.average: AveragedModel | None = None
        if decay is not None:
            self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
            self.average.requires_grad_(False).eval()  # no optimizer trains the copy

    @property
    def module(self) -> nn.Module:
        """The averaged copy, or the network itself where nothing is averaged; the same object for a whole run."""
        return self.network if self.average is None else self.average.module

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.average is not None:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def state_dict(self) -> dict[str, Any]:
        """For resume: the copy and its number of steps; empty where nothing is averaged."""
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """For resume; where averaging was switched on or off since, a warning says what happens."""
        if self.average is not None and state:
            self.average.load_state_dict(state)
        elif self.average is not None:
            logger.warning("the run so far averaged no weights: the average starts anew at the next step")
        elif state:
            logger.warning("the run so far averaged its weights and this one has no decay: its average is dropped")

    def _start(self, engine: Engine) -> None:
        """Follow the network to its device, and take weights over that were loaded since the copy was made."""
        assert self.average is not None
        # The copy alone: its counter is read at each step, which on a GPU would be a wait.
        self.average.module.to(next(self.network.parameters()).device)
        if not self.average.n_averaged:
            self.average.module.load_state_dict(self.network.state_dict())

    def _update(self, engine: Engine) -> None:
        assert self.average is not None
        if _stepped(engine):
            self.average.update_parameters(self.network)


def check_decay(decay: float | None) -> None:
    """Refuse a decay that averages nothing, or keeps the first weights for ever.

    Raises:
        ValueError: for anything but None and a number in (0, 1).
    """
    number = isinstance(decay, (int, float)) and not isinstance(decay, bool)
    if decay is not None and not (number and 0 < decay < 1):
        raise ValueError(f"decay of averaged weights (ema_decay) is {decay!r}; allowed: null, or within (0, 1)")


def _stepped(engine: Engine) -> bool:
    """Whether this iteration ended with a step of the optimizer: the rule of MONAI's trainers and of ours."""
    steps, length = int(getattr(engine, "accumulation_steps", 1)), engine.state.epoch_length
    done = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return done % steps == 0 or done == length
