"""The weighted sum of the active loss terms, and every term by itself for the logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from custom_components.losses.registry import REGISTRY, VIEWS, active_terms
from custom_components.losses.terms import KINDS
from custom_components.number_checks import check_number


class CombinedLoss:
    """Weighted sum of loss terms (by default those of HybridMIM, arXiv 2303.10333).

    Args:
        weights: weight by term; a term that is missing or has weight 0 is not computed. The paper's weights are
            reconstruction 1, count 0.1, position 0.1, consistency 0.01, contrast 0.1.
        reconstruction: error of the reconstruction, "mse" or "l1".
        temperature: temperature of the contrast, above 0.
        gather: whether the contrast uses items of other ranks as negatives, see `nt_xent`. Switch it off for a
            validation in which ranks hold different numbers of items.
        options: further options that registered terms declare.

    Attributes:
        terms: names of the active terms.

    Raises:
        ValueError: for weights that `active_terms` refuses, an unknown option or reconstruction error, or a
            temperature that is not above 0.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        reconstruction: str = "mse",
        temperature: float = 0.5,
        gather: bool = True,
        **options: Any,
    ) -> None:
        self.terms = active_terms(weights)
        if reconstruction not in KINDS:
            raise ValueError(f"reconstruction is {reconstruction!r}; allowed: {', '.join(KINDS)}")
        check_number(temperature, "temperature", above=0)
        self.weights = {name: float(weights[name]) for name in self.terms}
        self.options = {"reconstruction": reconstruction, "temperature": temperature, "gather": gather, **options}
        unknown = self.options.keys() - {key for entry in REGISTRY.values() for key in entry.options}
        if unknown:
            raise ValueError(f"no loss term has the option {', '.join(sorted(unknown))}")

    def __call__(self, outputs: Mapping[str, Tensor], volume_id: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the active terms.

        Args:
            outputs: what the pretext network returns. Terms that read views are left out if it returns none.
            volume_id: long ``(B,)``, for terms that read it.

        Returns:
            ``loss``, the weighted sum; each computed term, unweighted, under its name; and what else terms
            return, such as ``negatives``. All are scalars.

        Raises:
            ValueError: if an output that an active term reads is missing.
        """
        found = dict(outputs) if volume_id is None else {**outputs, "volume_id": volume_id}
        values: dict[str, Tensor] = {}
        for name in self.terms:
            entry = REGISTRY[name]
            if VIEWS.intersection(entry.reads) and VIEWS.isdisjoint(found):
                continue
            missing = [key for key in entry.reads if key not in found]
            if missing:
                raise ValueError(f"loss term {name} needs {', '.join(missing)}; found {', '.join(found)}")
            chosen = {key: self.options[option] for option, key in entry.options.items() if option in self.options}
            result = entry.function(*(found[key] for key in entry.reads), **chosen)
            values.update(zip(entry.returns, result if isinstance(result, tuple) else (result,), strict=True))
        weighted = [self.weights[name] * values[name] for name in self.terms if name in values]
        return {"loss": torch.stack(weighted).sum() if weighted else torch.zeros(()), **values}
