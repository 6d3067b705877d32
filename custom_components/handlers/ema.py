"""Averaged weights: a copy of the network that follows the trained one slowly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from custom_components.number_checks import check_number

TensorList = tuple[Tensor, ...] | list[Tensor]
logger = logging.getLogger(__name__)


class EMA:
    """Exponential moving average of a network's weights over the optimizer's steps.

    The first step copies the network's weights. Step n + 1 then sets the copy to ``d · copy + (1 - d) · network``
    with ``d = min(decay, (1 + n) / (10 + n))``. So a short run averages over about a tenth of its steps so far,
    and a long one over about ``1 / (1 - decay)`` steps. Frozen parameters stay unchanged, bit for bit; buffers are
    copied, not averaged. Iterations that only accumulate gradients change nothing. A step that a float16
    GradScaler skipped counts as a step.

    Evaluate and save `module`: it is a network of the same class with the same keys.

    Args:
        network: the unwrapped network, also if the trainer wraps it in DistributedDataParallel; all ranks hold the
            same weights and so the same averages.
        decay: share of the copy that a step keeps at most, in (0, 1); None: no averaging and no copy.

    Raises:
        ValueError: for a decay outside (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float | None) -> None:
        check_number(decay, "ema_decay", above=0, below=1, optional=True)
        self.network = network
        self.decay = decay
        self.average: AveragedModel | None = None
        if decay is not None:
            self.average = AveragedModel(network, multi_avg_fn=self._average)
            self.average.requires_grad_(False).eval()  # no optimizer trains the copy

    @property
    def module(self) -> nn.Module:
        """The averaged copy, or the network itself without averaging; the same object during the whole run."""
        return self.network if self.average is None else self.average.module

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.average is not None:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def state_dict(self) -> dict[str, Any]:
        """Return the copy and its number of steps; empty without averaging."""
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the copy; warn if averaging was switched on or off since it was saved."""
        if self.average is not None and state:
            self.average.load_state_dict(state)
        elif self.average is not None:
            logger.warning("the resumed run did not average its weights: the average starts at the next step")
        elif state:
            logger.warning(
                "the resumed run averaged its weights, but ema_decay is null now: its average is dropped"
            )

    def _start(self, engine: Engine) -> None:
        """Move the copy to the network's device, and copy weights that were loaded after it was made."""
        assert self.average is not None
        # Only the copy: its step counter is read at every step, and a GPU would make the host wait for it.
        self.average.module.to(next(self.network.parameters()).device)
        if not self.average.n_averaged:
            self.average.module.load_state_dict(self.network.state_dict())

    def _average(self, averaged: TensorList, current: TensorList, on_device: Tensor | int) -> None:
        """Update the copy's parameters. A GPU may hold ``on_device``, the number of steps: it is not read."""
        assert self.average is not None
        assert self.decay is not None
        steps = int(self.average.n_averaged)
        get_ema_multi_avg_fn(min(self.decay, (1 + steps) / (10 + steps)))(averaged, current, on_device)

    def _update(self, engine: Engine) -> None:
        assert self.average is not None
        if _stepped(engine):
            self.average.update_parameters(self.network)


def _stepped(engine: Engine) -> bool:
    """Return whether the optimizer stepped in this iteration, by the rule of MONAI's trainers and ours."""
    steps, length = int(getattr(engine, "accumulation_steps", 1)), engine.state.epoch_length
    done = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return done % steps == 0 or done == length
