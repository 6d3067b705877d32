"""Are a recipe's numbers numbers, and can one train with them?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple


class _Range(NamedTuple):
    """What is allowed, in words and as a test of a finite number."""

    told: str
    holds: Callable[[float], bool]


_ABOVE_0 = _Range("numbers above 0", lambda number: number > 0)
_FROM_0 = _Range("numbers from 0", lambda number: number >= 0)
_SHARE = _Range("within [0, 1]", lambda number: 0 <= number <= 1)
_WHOLE_FROM_0 = _Range("whole numbers from 0", lambda number: number >= 0 and number == int(number))
_WHOLE_FROM_1 = _Range("whole numbers from 1", lambda number: number >= 1 and number == int(number))
_ALLOWED = {
    "learning_rate": _ABOVE_0,
    "weight_decay": _FROM_0,
    "warmup_share": _SHARE,
    "batch_size": _WHOLE_FROM_1,
    "num_samples": _WHOLE_FROM_1,
    "sw_batch_size": _WHOLE_FROM_1,
    "sw_overlap": _Range("within [0, 1)", lambda number: 0 <= number < 1),
    "accumulation_steps": _WHOLE_FROM_1,
    "grad_clip": _ABOVE_0,
    "num_workers": _WHOLE_FROM_0,
    "cache_rate": _SHARE,
}
_MAY_BE_NULL = frozenset({"grad_clip"})


def check_hyperparameters(numbers: Mapping[str, Any]) -> None:
    """Check a recipe's numbers, each against its own range.

    Args:
        numbers: by the config's key: ``learning_rate``, ``weight_decay``, ``warmup_share``, ``batch_size``,
            ``num_samples``, ``sw_batch_size``, ``sw_overlap``, ``accumulation_steps``, ``grad_clip`` (or null),
            ``num_workers``, ``cache_rate``; any of them.

    Raises:
        ValueError: naming the key, what was found and what is allowed.
        KeyError: for another key, which is an error of the config's author.
    """
    for key, value in numbers.items():
        told, holds = _ALLOWED[key]
        if value is None and key in _MAY_BE_NULL:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
        if not (number and holds(value)):
            raise ValueError(f"{key} is {value!r}; allowed: {told}{_hint(value)}")


def _hint(value: Any) -> str:
    """What YAML does to 1e-4, where that is what happened."""
    try:
        float(value)
    except (TypeError, ValueError):
        return ""
    return (
        f". YAML takes {value} for text; with a dot, as in 1.0e-4, it is a number"
        if isinstance(value, str)
        else ""
    )
