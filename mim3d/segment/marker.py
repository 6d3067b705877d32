"""The mark in the header of every mask that ``mim3d segment`` writes: who wrote it, how, and of what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from custom_components.data.nifti import open_image
from custom_components.transfer import file_sha256

_PREFIX = "mim3d segment"
_DIGITS = 16


class Marker(NamedTuple):
    """What a mask was made of.

    Attributes:
        settings: digest of the config and the weights.
        image: digest of the image's files.
    """

    settings: str
    image: str

    def __str__(self) -> str:
        """Return the text for the header's field ``descrip``, which holds 79 bytes."""
        return f"{_PREFIX} {self.settings} {self.image}"


def read_marker(path: Path) -> Marker | None:
    """Return the mark of a mask; None for every other file, a damaged one included."""
    try:
        text = bytes(open_image(str(path)).header["descrip"].tobytes()).decode(errors="replace")
    except Exception:  # nibabel raises many classes; reading the case says what is wrong
        return None
    match = re.match(rf"{_PREFIX} (\w+) (\w+)", text)
    return Marker(*match.groups()) if match else None


def digest_of_files(files: Iterable[Path]) -> str:
    """Return a digest of the content of files."""
    return _short("".join(file_sha256(file) for file in files))


def digest_of_settings(config: Mapping[str, Any]) -> str:
    """Return a digest of a config's content."""
    return _short(json.dumps(config, sort_keys=True, default=str))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
