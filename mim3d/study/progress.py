"""How far a study is, and how long the rest will take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median
from typing import Protocol

from custom_components.machine import readable_time


class Work(Protocol):
    """What an estimate needs to know of a run."""

    @property
    def kind(self) -> str:
        """Runs of one kind take similar times for a step."""

    @property
    def steps(self) -> int:
        """Size of the run."""


class Times:
    """Seconds for each step, learned from the runs that are done.

    Runs of a kind that none is done of are estimated by what was expected of that kind, or not at all.
    """

    def __init__(self) -> None:
        self._rates: dict[str, list[float]] = {}
        self._expected: dict[str, list[float]] = {}

    def expect(self, work: Work, seconds: float) -> None:
        """Take in what a run is expected to take; it counts until a run of its kind is done."""
        self._expected.setdefault(work.kind, []).append(seconds / max(1, work.steps))

    def learn(self, work: Work, seconds: float) -> None:
        """Take in the time of a run."""
        self._rates.setdefault(work.kind, []).append(seconds / max(1, work.steps))

    def of(self, work: Work) -> float | None:
        """Return the seconds that a run is expected to take; None if unknown."""
        rates = self._rates.get(work.kind) or self._expected.get(work.kind)
        return median(rates) * max(1, work.steps) if rates else None

    def left(self, waiting: Sequence[Work], slots: int) -> float | None:
        """Return the seconds until all runs are done; None if a kind is unknown."""
        expected = [self.of(work) for work in waiting]
        known = [seconds for seconds in expected if seconds is not None]
        return sum(known) / max(1, slots) if len(known) == len(expected) else None


def clock(seconds: float | None) -> str:
    """Return a time for people: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    if seconds is None:
        return "unknown"
    return readable_time(seconds)


def say(text: str) -> None:
    """Print one line at once."""
    print(text, file=sys.stdout, flush=True)
