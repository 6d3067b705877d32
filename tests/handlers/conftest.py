"""A disk that is full, for the tests of what is saved."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_components.atomic import partial_path


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``fill_disk(name)``: from now on a file of that name cannot be completed, because the disk is full."""
    real = os.fsync

    def fill(name: str) -> None:
        def fsync(descriptor: int) -> None:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(f"/{partial_path(Path(name))}"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return fill
