"""DICOM files: which files are DICOM, and the tags of their headers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from custom_components.threads import map_in_threads
from mim3d.convert.images import kept_locale, simpleitk

_TAGS = {
    "patient": "0010|0020",
    "study": "0020|000d",
    "series": "0020|000e",
    "number": "0020|0011",
    "description": "0008|103e",
    "modality": "0008|0060",
    "sop_class": "0008|0016",
    "image_type": "0008|0008",
    "rows": "0028|0010",
    "columns": "0028|0011",
    "samples": "0028|0002",
    "frames": "0028|0008",
    "position": "0020|0032",
    "orientation": "0020|0037",
    "spacing": "0028|0030",
    "slope": "0028|1053",
    "intercept": "0028|1052",
    "acquisition": "0020|0012",
    "time": "0020|0100",
    "echo": "0018|0081",
}


class Slice(NamedTuple):
    """A DICOM file with an image: its path, and its tags as text, empty if the file lacks them."""

    file: str
    tags: dict[str, str]

    def numbers(self, name: str) -> np.ndarray:
        """Return a tag of several numbers; empty if the file lacks it.

        Raises:
            ValueError: if it is not made of numbers.
        """
        return np.array([float(part) for part in self.tags[name].split("\\") if part.strip()])


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as a DICOM file, whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@kept_locale()
def read_headers(files: Sequence[Path], workers: int) -> tuple[list[Slice], list[str]]:
    """Read the headers of DICOM files.

    Args:
        files: DICOM files.
        workers: headers read at a time.

    Returns:
        The slices, and the files without an image.
    """
    read = map_in_threads(_read_tags, files, "reading DICOM headers", "file", workers)
    slices = [Slice(str(file), tags) for file, tags in zip(files, read, strict=True) if tags is not None]
    return slices, [str(file) for file, tags in zip(files, read, strict=True) if tags is None]


def _read_tags(path: Path) -> dict[str, str] | None:
    reader: Any = simpleitk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return {
        name: reader.GetMetaData(key).strip("\0 ") if reader.HasMetaDataKey(key) else ""
        for name, key in _TAGS.items()
    }


def whole_number(text: str) -> int:
    """Return a tag's whole number; 0 if the file lacks it or it is none."""
    return int(text) if text.isdecimal() else 0


def pseudonym(text: str, digits: int) -> str:
    """Return the first hexadecimal digits of a text's sha256: equal for equal texts, and no name."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
