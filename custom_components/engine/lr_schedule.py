"""The learning rate over a run: linear warm-up, then a cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from custom_components.number_checks import check_number


class WarmupCosine(LambdaLR):
    """Linear warm-up, then half a cosine down to ``end_factor`` of the learning rate.

    The values are those of `monai.optimizers.WarmupCosineSchedule`, but the state is only the step count. So a
    resumed run that asks for more epochs follows the schedule of its own config, not the one in the file.

    Args:
        optimizer: the optimizer whose learning rates are scheduled.
        warmup_steps: steps from ``warmup_factor`` to the full rate, at least 0.
        total_steps: steps until ``end_factor`` is reached, above ``warmup_steps``.
        end_factor: last factor, in [0, 1].
        warmup_factor: first factor, in [0, 1].

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
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warm-up of {warmup_steps} steps does not fit into {total_steps} steps in all")
        check_number(end_factor, "end_factor", at_least=0, at_most=1)
        check_number(warmup_factor, "warmup_factor", at_least=0, at_most=1)
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.end_factor, self.warmup_factor = end_factor, warmup_factor
        super().__init__(optimizer, self.factor)

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate at a step."""
        if step < self.warmup_steps:
            return self.warmup_factor + (1 - self.warmup_factor) * step / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))

    def state_dict(self) -> dict[str, Any]:
        """Return the step count."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to the saved step of this schedule."""
        self.last_epoch = int(state_dict["last_epoch"])
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * self.factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
