"""Check: are the numbers of a recipe numbers, and in range?"""

from __future__ import annotations

from typing import Any

from custom_components.number_checks import check_number, check_switch

_COUNT = {"at_least": 1, "whole": True}
_SHARE = {"at_least": 0, "at_most": 1}
_ALLOWED: dict[str, dict[str, Any]] = {
    "learning_rate": {"above": 0},
    "weight_decay": {"at_least": 0},
    "warmup_share": _SHARE,
    "encoder_lr_factor": _SHARE,
    "layer_decay": {"above": 0, "at_most": 1},
    "decoder_warmup": {"at_least": 0, "below": 1},
    "batch_size": _COUNT,
    "num_samples": _COUNT,
    "accumulation_steps": _COUNT,
    "grad_clip": {"above": 0, "optional": True},
    "ema_decay": {"above": 0, "below": 1, "optional": True},
    "num_workers": {"at_least": 0, "whole": True},
    "worker_timeout": {"at_least": 0},
    "cache_rate": {**_SHARE, "optional": True},
    "probe_volumes": _COUNT,
    "patience": {**_COUNT, "optional": True},
    "sw_batch_size": _COUNT,
    "sw_overlap": {"at_least": 0, "below": 1},
    "surface_tolerance": {"above": 0},
}


class Hyperparameters:
    """Each number must be in the range of its key.

    Args:
        numbers: by config key. Allowed keys: learning_rate, weight_decay, warmup_share, encoder_lr_factor,
            layer_decay, decoder_warmup, batch_size, num_samples, accumulation_steps, grad_clip (or null),
            ema_decay (or null), num_workers, worker_timeout, cache_rate (or null), probe_volumes,
            patience (or null), sw_batch_size, sw_overlap, surface_tolerance.

    Raises:
        ValueError: for another key.
    """

    def __init__(self, **numbers: Any) -> None:
        unknown = [key for key in numbers if key not in _ALLOWED]
        if unknown:
            raise ValueError(f"no range is known for {', '.join(unknown)}; allowed: {', '.join(_ALLOWED)}")
        self.numbers = numbers

    def __call__(self) -> None:
        """Raise ValueError for the first number out of range."""
        for key, value in self.numbers.items():
            check_number(value, key, **_ALLOWED[key])


class Switches:
    """A switch must be true or false, see `check_switch`.

    Args:
        switches: by config key.
    """

    def __init__(self, **switches: Any) -> None:
        self.switches = switches

    def __call__(self) -> None:
        """Raise ValueError for the first other value."""
        for key, value in self.switches.items():
            check_switch(value, key)
