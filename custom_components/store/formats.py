"""Arrays on disk of which a part can be read: memory-mapped ``.npy``, and compressed chunks (blosc2)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from custom_components.faults import Fault

#: Format -> name of the file of voxels.
FORMATS = {"npy": "voxels.npy", "blosc2": "voxels.b2nd"}
_CHUNK, _BLOCK = 64, 16  # voxels per side; a crop of 96 voxels reads at most 3 x 3 x 3 chunks
_PIECE = 1 << 22  # bytes


def check_format(value: object) -> None:
    """Raise ValueError unless ``value`` is a format that can be written here."""
    if value not in FORMATS:
        raise ValueError(f"store_format is {value!r}; allowed: {', '.join(FORMATS)}")
    if value == "blosc2" and importlib.util.find_spec("blosc2") is None:
        raise ValueError("store_format is blosc2, which is not installed; pip install blosc2, or set it to npy")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array ``(C, D, H, W)`` in the format of the path's suffix; not atomic."""
    if path.suffix == ".npy":
        np.save(path, array)
        return
    blosc2 = importlib.import_module("blosc2")  # an optional extra
    blosc2.asarray(
        np.ascontiguousarray(array),
        urlpath=str(path),
        mode="w",
        contiguous=True,  # one file
        chunks=(1, *(min(_CHUNK, side) for side in array.shape[1:])),
        blocks=(1, *(min(_BLOCK, side) for side in array.shape[1:])),
        cparams={"codec": blosc2.Codec.LZ4, "nthreads": 1},
    )


def open_array(path: Path) -> Any:
    """Return an array without reading it; index it to read a part.

    Raises:
        OSError: if the file is missing.
        ValueError: if it is truncated.
        Fault: if it needs blosc2, which is not installed.
    """
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    try:
        blosc2 = importlib.import_module("blosc2")
    except ImportError:
        raise Fault(f"{path} needs blosc2, which is not installed; pip install blosc2") from None
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    return blosc2.open(str(path), mode="r", dparams={"nthreads": 1})


def read_part(path: Path, part: tuple[slice, ...]) -> np.ndarray:
    """Return a part of an array ``(C, D, H, W)``; it may lie in the memory map.

    Raises:
        OSError, ValueError, Fault: as `open_array`.
    """
    array = open_array(path)
    if isinstance(array, np.memmap):
        _read_ahead(path, array, part)
    return np.asarray(array[part])


def _read_ahead(path: Path, array: np.memmap, part: tuple[slice, ...]) -> None:
    """Ask the system to read a part's rows, plane by plane.

    Without that, it notices page by page what is needed, and reads what lies around each page. From a cold disk,
    that takes twice as long.
    """
    if not hasattr(os, "posix_fadvise") or not array.flags.c_contiguous or not array[part].size:
        return
    channels, planes, (first, last, _), _ = (
        one.indices(side) for one, side in zip(part, array.shape, strict=True)
    )
    begin, length = array.offset + first * array.strides[2], (last - first) * array.strides[2]
    with path.open("rb", buffering=0) as file, suppress(OSError):  # a file system may take no advice
        for channel, plane in product(range(*channels), range(*planes)):
            start = begin + channel * array.strides[0] + plane * array.strides[1]
            os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_WILLNEED)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return value
