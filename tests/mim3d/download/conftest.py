"""A server on this machine, and small zips to download from it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator

import pytest

from tests.loopback import Server, serve

Member = str | zipfile.ZipInfo


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    """``zipped((name, content), ...)``: a zip with a bundle's metadata and these members."""

    def make(*members: tuple[Member, bytes], bundle: str = "seg_a") -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{bundle}/configs/metadata.json", "{}")
            for name, content in members:
                archive.writestr(name, content)
        return buffer.getvalue()

    return make
