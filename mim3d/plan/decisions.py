"""A decision of a plan: a config key, its value and the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: The layers that a plan writes, by the step that they are for.
BOTH = ("pretrain", "segment")
PRETRAIN = ("pretrain",)
SEGMENT = ("segment",)


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        key: the config key that holds it, and that changes it.
        value: as in YAML.
        reason: why, in one or two sentences.
        layers: the layers that have the key.
        shown: whether it has a row in plan.md; keys that only follow from others have none.
    """

    key: str
    value: Any
    reason: str
    layers: tuple[str, ...] = BOTH
    shown: bool = True


def value_of(decisions: Iterable[Decision], key: str, layer: str) -> Any:
    """Return the value that a layer has for a key.

    Raises:
        KeyError: if no decision is about it.
    """
    for decision in decisions:
        if decision.key == key and layer in decision.layers:
            return decision.value
    raise KeyError(key)
