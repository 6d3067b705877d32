"""What the scheduler needs to know of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mim3d.study.progress import Work


class Job(Work, Protocol):
    """A run as the scheduler sees it; see `mim3d.study.runs.Run`."""

    @property
    def title(self) -> str:
        """For people."""

    @property
    def folder(self) -> Path:
        """For its log."""

    @property
    def digest(self) -> str:
        """What tells it from other runs."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Digests of runs that must be done before."""

    @property
    def done(self) -> dict[str, Any] | None:
        """Its record."""

    def recover(self) -> None:
        """Write its record if it ended well without one."""

    def prepare(self, environment: Mapping[str, str]) -> list[str]:
        """Make its folder ready and return its command."""

    def finish(self) -> None:
        """Write its record; raises ValueError if the run did not leave what it should have."""
