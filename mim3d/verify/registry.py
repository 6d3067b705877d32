"""Checks of packed bundles: how one is registered under a name, selected and run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mim3d.verify.packed import CheckError, Packed

#: Groups of checks, in the order in which they run. The first three only read files.
GROUPS = ("files", "metadata", "configs", "workflows", "label", "network", "exports")
#: Groups that run the network at its full size.
HEAVY = ("network", "exports")
#: A check takes a packed bundle and returns a note for the report; it raises on a fault.
Check = Callable[[Packed], str]


class Result(NamedTuple):
    """One line of the report.

    Attributes:
        name: of the check.
        ok: whether it passed.
        note: what was found.
        seconds: how long it took.
    """

    name: str
    ok: bool
    note: str
    seconds: float


#: Name -> (group, check). :mod:`mim3d.verify.checks` fills it.
CHECKS: dict[str, tuple[str, Check]] = {}


def check(
    name: str, group: str, segmentation_only: bool = False, config_only: bool | None = None
) -> Callable[[Check], Check]:
    """Register the decorated function as a check.

    Args:
        name: name in the report.
        group: one of ``GROUPS``.
        segmentation_only: skip pretraining bundles, which lack what it asks for.
        config_only: True: skip packages with code of their own; False: skip config-only packages; None: skip none.
    """

    def register(function: Check) -> Check:
        def applicable(packed: Packed) -> str:
            if segmentation_only and not packed.segments:
                return "not for a pretraining bundle"
            if config_only is not None and config_only != packed.config_only:
                return "not for a config-only package" if packed.config_only else "for config-only packages"
            return function(packed)

        CHECKS[name] = (group, applicable)
        return function

    return register


def select(groups: Iterable[str], only: list[str]) -> list[str]:
    """Return the names of the checks to run, in the order of the groups.

    Args:
        groups: run the checks of these groups.
        only: run these checks, whatever their group; empty: all of ``groups``.

    Raises:
        ValueError: for an unknown name.
    """
    unknown = [name for name in only if name not in CHECKS]
    if unknown:
        raise ValueError(f"unknown check {unknown[0]!r}; allowed: {', '.join(CHECKS)}")
    names = sorted(CHECKS, key=lambda name: GROUPS.index(CHECKS[name][0]))
    return [name for name in names if (name in only if only else CHECKS[name][0] in groups)]


def run_checks(packed: Packed, names: list[str]) -> Iterator[Result]:
    """Run checks one after another; whatever a check raises becomes its note."""
    for name in names:
        start = time.perf_counter()
        try:
            note, ok = CHECKS[name][1](packed), True
        except (Exception, SystemExit) as error:
            note, ok = one_line(error), False
        yield Result(name, ok, note, round(time.perf_counter() - start, 2))


def one_line(error: BaseException, length: int = 400) -> str:
    """Return the innermost cause of an error as one line."""
    while error.__cause__ is not None and not isinstance(error, CheckError):
        error = error.__cause__
    text = " ".join(str(error).split())
    text = text if isinstance(error, CheckError) else f"{type(error).__name__}: {text}"
    return text if len(text) < length else f"{text[: length - 3]}..."
