"""The sum of the active terms, and every part of it for the logs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from custom_components.losses.nt_xent import nt_xent
from custom_components.losses.terms import (
    KINDS,
    consistency_loss,
    count_loss,
    position_loss,
    reconstruction_loss,
)

NEEDS: dict[str, tuple[str, ...]] = {
    "reconstruction": ("reconstruction", "reconstruction_target", "reconstruction_mask"),
    "count": ("count_logits", "count_target", "region_valid"),
    "position": ("position_logits", "position_target", "patch_valid"),
    "consistency": ("count_logits", "position_logits", "region_valid", "patch_valid"),
    "contrast": ("view_1", "view_2"),
}
"""What each term reads from a pretext network's outputs."""

TERMS = tuple(NEEDS)
"""Names of the terms, in the order in which they are computed."""


def active_terms(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Return the terms whose weight is over 0, in the order of ``TERMS``.

    Args:
        weights: weight by term; one that is not given is 0.

    Raises:
        ValueError: for what is no mapping, an unknown term, a weight that is no finite number from 0, or none
            over 0.
    """
    if not isinstance(weights, Mapping):
        raise ValueError(f"loss weights must map each of {', '.join(TERMS)} to a number, found {weights!r}.")
    unknown = sorted(str(name) for name in weights if name not in TERMS)
    if unknown:
        raise ValueError(f"unknown loss part {', '.join(unknown)}; allowed are {', '.join(TERMS)}.")
    for name, weight in weights.items():
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of loss part {name} must be a finite number from 0, found {weight!r}.")
    active = tuple(name for name in TERMS if weights.get(name, 0) > 0)
    if not active:
        raise ValueError(f"no loss part has a weight over 0; allowed are {', '.join(TERMS)}.")
    return active


class CombinedLoss:
    """Weighted sum of the terms of HybridMIM (arXiv 2303.10333); the other methods use one of them each.

    Args:
        weights: weight by term, of reconstruction, count, position, consistency and contrast; 0 or not given:
            not computed. The paper's: 1, 0.1, 0.1, 0.01, 0.1.
        reconstruction: "mse" or "l1".
        temperature: of the contrast, over 0.
        gather: whether other ranks' items are negatives, see :func:`nt_xent`. Not in a validation in which ranks
            hold unequal numbers of items.

    Raises:
        ValueError: for weights as :func:`active_terms`, an unknown error, or a temperature not over 0.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        reconstruction: str = "mse",
        temperature: float = 0.5,
        gather: bool = True,
    ) -> None:
        self._terms = active_terms(weights)
        if reconstruction not in KINDS:
            raise ValueError(f"reconstruction must be one of {', '.join(KINDS)}; found {reconstruction!r}.")
        if not temperature > 0:
            raise ValueError(f"temperature must be over 0, found {temperature}.")
        self.weights = {name: float(weights[name]) for name in self._terms}
        self.reconstruction = reconstruction
        self.temperature = temperature
        self.gather = gather

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the active terms, to build the pretext network with."""
        return self._terms

    def __call__(self, outputs: Mapping[str, Tensor], volume_id: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the active terms.

        Args:
            outputs: what the pretext network returns, see ``NEEDS``; without "view_1" (validation) the
                contrast is left out.
            volume_id: long ``(B,)``, needed by the contrast.

        Returns:
            "loss", the weighted sum; each part that was computed, unweighted, under its name; and with the
            contrast "negatives", the mean number of them. All scalars.

        Raises:
            ValueError: when an output that an active term needs is missing, or volume_id.
        """
        parts: dict[str, Tensor] = {}
        for name in self._terms:
            if name == "contrast" and "view_1" not in outputs:
                continue
            missing = [key for key in NEEDS[name] if key not in outputs]
            if missing:
                raise ValueError(f"loss part {name} needs {', '.join(missing)}; found {', '.join(outputs)}.")
            parts.update(self._part(name, outputs, volume_id))
        summed = [self.weights[name] * parts[name] for name in self._terms if name in parts]
        return {"loss": torch.stack(summed).sum() if summed else torch.zeros(()), **parts}

    def _part(self, name: str, outputs: Mapping[str, Tensor], volume_id: Tensor | None) -> dict[str, Tensor]:
        first, second, *rest = (outputs[key] for key in NEEDS[name])
        if name == "reconstruction":
            return {name: reconstruction_loss(first, second, rest[0], kind=self.reconstruction)}
        if name == "count":
            return {name: count_loss(first, second, rest[0])}
        if name == "position":
            return {name: position_loss(first, second, rest[0])}
        if name == "consistency":
            return {name: consistency_loss(first, second, *rest)}
        if volume_id is None:
            raise ValueError("loss part contrast needs volume_id, a whole number for each item; found None.")
        loss, negatives = nt_xent(first, second, volume_id.to(first.device), self.temperature, self.gather)
        return {name: loss, "negatives": negatives}
