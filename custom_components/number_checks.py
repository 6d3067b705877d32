"""Checks of single values that configs and commands give: numbers in a range, and switches."""

from __future__ import annotations

from math import isfinite
from typing import Any


def is_number(value: Any, whole: bool = False) -> bool:
    """Return True for a finite int or float that is not a bool; with ``whole`` it must have no fraction."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return False
    return not whole or value == int(value)


def check_number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Check that a value is a finite number within the given bounds.

    Args:
        value: what was given.
        name: the key or argument, for the message.
        above: exclusive lower bound.
        at_least: inclusive lower bound.
        below: exclusive upper bound.
        at_most: inclusive upper bound.
        whole: whether it must have no fraction.
        optional: whether None is allowed.

    Raises:
        ValueError: with the name, what was found and what is allowed.
    """
    if value is None and optional:
        return
    fits = is_number(value, whole) and (
        (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if fits:
        return
    bounds = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    limits = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
    kind = "a whole number" if whole else "a number"
    allowed = f"{'null or ' if optional else ''}{kind}{' ' + limits if limits else ''}"
    raise ValueError(f"{name} is {value!r}; allowed: {allowed}{_yaml_hint(value)}")


def check_switch(value: Any, name: str) -> None:
    """Check that a value is True or False: MONAI reads ``--resume false`` as a word, and any word means true.

    The word ``true`` is accepted, because its effect is the one that was meant.

    Args:
        value: what was given.
        name: the key, for the message.

    Raises:
        ValueError: for any other value.
    """
    if not isinstance(value, bool) and str(value).lower() != "true":
        raise ValueError(f"{name} is {value!r}; allowed: True or False, on the command line --{name} False")


def _yaml_hint(value: Any) -> str:
    """Return what to do about text that looks like a number: YAML reads ``1e-4`` as text."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    return "" if number is None else f". YAML reads {value} as text; write it with a dot, as in 1.0e-4"
