"""The learning rate over a run: linear warm-up, then a cosine; on request the decoder first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from custom_components.engine.parameter_groups import ENCODER
from custom_components.number_checks import check_number


class WarmupCosine(LambdaLR):
    """Linear warm-up, then half a cosine down to ``end_factor`` of the learning rate.

    The values are those of `monai.optimizers.WarmupCosineSchedule`, but the state is only the step count. So a
    resumed run that asks for more epochs follows the schedule of its own config, not the one in the file.

    With ``decoder_steps``, the run begins with a phase of its own: the groups of the encoder (see
    `parameter_groups`) have rate 0, the others rise linearly to the full rate. Then all start anew with the
    warm-up. New parts have learned something by then, so that they do not spoil a pretrained encoder (the
    "sawtooth" of arXiv 2412.17041).

    Args:
        optimizer: the optimizer whose learning rates are scheduled.
        warmup_steps: steps from ``warmup_factor`` to the full rate, at least 0.
        total_steps: steps until ``end_factor`` is reached, above ``warmup_steps`` and ``decoder_steps`` together.
        end_factor: last factor, in [0, 1].
        warmup_factor: first factor, in [0, 1].
        decoder_steps: steps of the first phase, at least 0.

    Raises:
        ValueError: if a number is outside its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        end_factor: float = 0.0,
        warmup_factor: float = 0.0,
        decoder_steps: int = 0,
    ) -> None:
        if warmup_steps < 0 or decoder_steps < 0 or decoder_steps + warmup_steps >= total_steps:
            phase = f"{decoder_steps} steps of the decoder alone and " if decoder_steps else ""
            raise ValueError(
                f"{phase}warm-up of {warmup_steps} steps does not fit into {total_steps} steps in all"
            )
        check_number(end_factor, "end_factor", at_least=0, at_most=1)
        check_number(warmup_factor, "warmup_factor", at_least=0, at_most=1)
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.end_factor, self.warmup_factor = end_factor, warmup_factor
        self.decoder_steps = decoder_steps
        self._waits = [bool(group.get(ENCODER)) for group in optimizer.param_groups]
        super().__init__(optimizer, [partial(self.factor, encoder=waits) for waits in self._waits])

    def factor(self, step: int, encoder: bool = False) -> float:
        """Return the factor of the learning rate at a step, for a group of the encoder or another one."""
        if step < self.decoder_steps:
            return 0.0 if encoder else step / self.decoder_steps
        step -= self.decoder_steps
        if step < self.warmup_steps:
            return self.warmup_factor + (1 - self.warmup_factor) * step / self.warmup_steps
        total = self.total_steps - self.decoder_steps
        progress = min(1.0, (step - self.warmup_steps) / (total - self.warmup_steps))
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))

    def state_dict(self) -> dict[str, Any]:
        """Return the step count."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to the saved step of this schedule."""
        self.last_epoch = int(state_dict["last_epoch"])
        groups = zip(self.optimizer.param_groups, self.base_lrs, self._waits, strict=True)
        for group, base, waits in groups:
            group["lr"] = base * self.factor(self.last_epoch, waits)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
