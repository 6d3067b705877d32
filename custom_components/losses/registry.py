"""The registry of loss terms: each function says which outputs of a pretext network it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from custom_components.number_checks import check_number

Function = TypeVar("Function", bound=Callable[..., Any])


class Term(NamedTuple):
    """One loss term.

    Attributes:
        function: takes the outputs in the order of ``reads``, and the options by keyword.
        reads: keys of the pretext network's outputs; also ``volume_id``, which comes with the batch.
        options: option of `CombinedLoss` -> keyword of ``function`` that it sets.
        returns: names of the scalars that ``function`` returns, the term first.
    """

    function: Callable[..., Any]
    reads: tuple[str, ...]
    options: Mapping[str, str]
    returns: tuple[str, ...]


#: Outputs that HybridMIM returns only while training: terms that read them are left out of its validation.
VIEWS = frozenset({"view_1", "view_2"})
#: Every term by name, in the order in which they are computed and logged.
REGISTRY: dict[str, Term] = {}


def term(
    name: str, reads: Iterable[str], options: Mapping[str, str] | None = None, also: Iterable[str] = ()
) -> Callable[[Function], Function]:
    """Register a function as a loss term.

    Args:
        name: the term's name in the weights and in the logs.
        reads: outputs that the function takes as positional arguments, in their order.
        options: option of `CombinedLoss` -> keyword of the function.
        also: names of further scalars that the function returns behind the loss, to be logged.
    """

    def register(function: Function) -> Function:
        REGISTRY[name] = Term(function, tuple(reads), dict(options or {}), (name, *also))
        return function

    return register


def outputs_read(terms: Iterable[str]) -> frozenset[str]:
    """Return the outputs of a pretext network that the terms read.

    Raises:
        ValueError: for an unknown term.
    """
    names = list(terms)
    unknown = sorted(str(name) for name in names if name not in REGISTRY)
    if unknown:
        raise ValueError(f"unknown loss term {', '.join(unknown)}; allowed: {', '.join(REGISTRY)}")
    return frozenset(key for name in names for key in REGISTRY[name].reads) - {"volume_id"}


def supported_terms(outputs: Iterable[str]) -> tuple[str, ...]:
    """Return the terms that a pretext network with these outputs can be trained with."""
    available = {*outputs, "volume_id"}
    return tuple(name for name, entry in REGISTRY.items() if available.issuperset(entry.reads))


def active_terms(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Return the terms whose weight is above 0, in the order of the registry.

    Args:
        weights: weight by term; a missing term has weight 0.

    Raises:
        ValueError: if weights is not a mapping, names an unknown term, has a negative or non-finite weight, or
            if all weights are 0.
    """
    if not isinstance(weights, Mapping):
        raise ValueError(f"loss_weights is {weights!r}; allowed: a number for each of {', '.join(REGISTRY)}")
    outputs_read(weights)
    for name, weight in weights.items():
        check_number(weight, f"loss_weights::{name}", at_least=0)
    active = tuple(name for name in REGISTRY if weights.get(name, 0) > 0)
    if not active:
        raise ValueError(f"no loss term has a weight above 0; allowed: {', '.join(REGISTRY)}")
    return active
