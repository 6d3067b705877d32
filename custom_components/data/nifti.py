"""One NIfTI file on disk: what its header says, and whether all of it is there. No volume is inflated."""

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
    """What a header says.

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
    """The nibabel image of a file, its voxels unread; untyped, as nibabel's annotations fall short."""
    return nib.load(path)


def read_header(path: str) -> Header:
    """Read and check the header of a ``.nii`` or ``.nii.gz`` file, and that its data are complete.

    A ``.nii`` is complete when it is as long as its header says; a ``.nii.gz`` when the length that gzip
    keeps in the last four bytes is that of the header's volume (only where it is not, the file is inflated to
    see: some programs write several gzip members).

    Raises:
        ValueError: naming the file, for one that is missing, empty, no NIfTI, truncated, or not 3D or 4D.
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
    except Exception as error:  # nibabel raises many kinds for a header that is none
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
    """All values of a file, scaled as its header says; of a ``.nii.gz``, gzip's checksum is verified too.

    Raises:
        ValueError: naming the file, if it cannot be read to the end.
    """
    try:
        image = open_image(path)
        if path.lower().endswith(".gz"):
            with gzip.open(path) as file:  # nibabel stops after the last voxel and never meets the checksum
                image = type(image).from_bytes(file.read())
        return np.asanyarray(image.dataobj)
    except Exception as error:  # gzip, zlib and nibabel each raise their own for damaged data
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
    """How many bytes come out of a gzip file, and whether it ends as it should."""
    total = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 13):  # small: what a broken end cuts off is not counted
                total += len(block)
    except (EOFError, OSError, zlib.error):
        return total, False
    return total, True
