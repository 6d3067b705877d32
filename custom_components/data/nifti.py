"""Reading one NIfTI file: its header, whether the file is complete (without inflating it), and its voxels."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from custom_components.data.layouts import is_nifti


class Header(NamedTuple):
    """The content of a header.

    Attributes:
        spatial_shape: voxels along the three axes, as stored.
        channels: 1 for a 3D file, the last dimension of a 4D one.
        spacing: mm along the three axes.
        affine: (4, 4), voxel to mm.
    """

    spatial_shape: tuple[int, int, int]
    channels: int
    spacing: tuple[float, float, float]
    affine: np.ndarray


def open_image(path: str) -> Any:
    """Return the nibabel image of a file without reading its voxels; untyped: nibabel's types are incomplete."""
    return nib.load(path)


def read_header(path: str) -> Header:
    """Read and check the header of a ``.nii`` or ``.nii.gz`` file, and that its data are complete.

    A ``.nii`` must be as long as its header says. For a ``.nii.gz``, the length in gzip's last four bytes must be
    that of the volume; if it is not, the file is inflated, because some programs write several gzip members.

    Raises:
        ValueError: if the file is missing, empty, not NIfTI, truncated, or neither 3D nor 4D; names the file.
    """
    _check_first_bytes(path)
    try:
        image = open_image(path)
        shape = tuple(int(n) for n in image.shape)
        needed = int(image.dataobj.offset) + math.prod(shape) * image.get_data_dtype().itemsize
        spacing = tuple(float(z) for z in image.header.get_zooms()[:3])
        affine: np.ndarray = np.array(image.affine, dtype=np.float64)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or corrupt ({error})") from None
    except Exception as error:  # nibabel raises many classes for a damaged header
        if path.lower().endswith(".gz") and not _inflate(path)[1]:
            raise ValueError(f"{path} is truncated or corrupt: its header cannot be inflated") from None
        raise ValueError(f"{path} is not readable as NIfTI ({str(error).splitlines()[0]})") from None
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(f"{path} has shape {shape}; allowed: 3D, or 4D with the channels last")
    _check_complete(path, needed)
    return Header(shape[:3], shape[3] if len(shape) == 4 else 1, spacing, affine)  # type: ignore[arg-type]


def read_voxels(path: str) -> np.ndarray:
    """Read all values of a file, scaled as its header says; verifies gzip's checksum.

    Raises:
        ValueError: if the file cannot be read to the end; names the file.
    """
    try:
        image = open_image(path)
        if path.lower().endswith(".gz"):
            with gzip.open(path) as file:  # nibabel stops after the last voxel, before the checksum
                image = type(image).from_bytes(file.read())
        return np.asanyarray(image.dataobj)
    except Exception as error:  # gzip, zlib and nibabel raise different classes for damaged data
        raise ValueError(f"{path} is truncated or corrupt ({error})") from None


def _check_first_bytes(path: str) -> None:
    if not os.path.isfile(path):
        raise ValueError(f"{path} does not exist")
    if not is_nifti(os.path.basename(path)):
        raise ValueError(f"{path} is not a NIfTI file by its name; allowed: .nii, .nii.gz")
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise ValueError(f"{path} is not readable ({error.strerror})") from None
    if not start:
        raise ValueError(f"{path} is empty (0 bytes)")
    if start[:1] == b"<":
        raise ValueError(f"{path} looks like an HTML page: the download gave a web page, not the file")
    if path.lower().endswith(".gz") and start != b"\x1f\x8b":
        raise ValueError(f"{path} is not gzip-compressed, though its name ends in .gz")


def _check_complete(path: str, needed: int) -> None:
    size = os.path.getsize(path)
    if not path.lower().endswith(".gz"):
        if size < needed:
            raise ValueError(f"{path} is truncated or corrupt: {size} bytes, its header asks for {needed}")
        return
    with open(path, "rb") as file:
        file.seek(max(0, size - 4))
        stored = int.from_bytes(file.read(4), "little")
    if stored != needed % 2**32:
        inflated, whole = _inflate(path)
        if not whole or inflated < needed:
            raise ValueError(
                f"{path} is truncated or corrupt: {inflated} bytes can be inflated, its header asks for {needed}"
            )


def _inflate(path: str) -> tuple[int, bool]:
    """Return how many bytes a gzip file inflates to, and whether it is complete."""
    total = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 13):  # small blocks, because a block with a broken end is lost
                total += len(block)
    except (EOFError, OSError, zlib.error):
        return total, False
    return total, True
