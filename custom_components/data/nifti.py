"""Reading one NIfTI file: its header, whether the file is complete (without inflating it), and its voxels."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from custom_components.data.grids import Header, affine_in_mm, spacing_of
from custom_components.data.names import is_nifti
from custom_components.data.walk import why_lost
from custom_components.faults import Fault

_LARGEST_RATIO = 1032  # of deflate, which gzip uses
_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348


def open_image(path: str) -> Any:
    """Return the nibabel image of a file without reading its voxels; untyped: nibabel's types are incomplete."""
    return nib.load(path)


def read_header(path: str) -> Header:
    """Read and check the header of a NIfTI-1 or NIfTI-2 file, and that its data are complete.

    Lengths are converted to mm. Single axes after the third are left out: ``(X, Y, Z, 1, C)`` has C channels.
    A ``.nii`` must be as long as its header says. For a ``.nii.gz``, the length in gzip's last four bytes must be
    that of the volume; if it is not, the file is inflated, because some programs write several gzip members.

    Raises:
        Fault: if the file is missing, empty, not NIfTI, truncated, too long, or neither 3D nor 4D; if its voxels
            are not real numbers; if its geometry is invalid (see :func:`affine_in_mm`); names the file.
    """
    _check_first_bytes(path)
    try:
        image = open_image(path)
        shape = tuple(int(n) for n in image.shape)
        dtype = image.get_data_dtype()
        needed = int(image.dataobj.offset) + math.prod(shape) * dtype.itemsize
        affine = affine_in_mm(path, image, _stored_header(path))
    except Fault:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from None
    except Exception as error:  # nibabel raises many classes for a damaged header
        if path.lower().endswith(".gz") and not _inflate(path)[1]:
            raise _damaged(path, "its header cannot be inflated") from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Fault(f"{path} is not readable as NIfTI ({reason})") from None
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours (RGB)" if dtype.fields else str(dtype)
        raise Fault(f"{path} holds {kind}; allowed: one real number per voxel and channel")
    kept = shape[:3] + tuple(n for n in shape[3:] if n != 1)
    if len(kept) not in (3, 4) or min(kept) < 1:
        raise Fault(f"{path} has shape {shape}; allowed: 3D, or 4D with the channels last")
    _check_complete(path, needed)
    spacing = tuple(float(length) for length in spacing_of(affine))
    return Header(kept[:3], kept[3] if len(kept) == 4 else 1, spacing, affine)  # type: ignore[arg-type]


def read_voxels(path: str) -> np.ndarray:
    """Read all values of a file, scaled as its header says; verifies gzip's checksums.

    Returns:
        The values as stored, in the header's shape, writable only if they are scaled.

    Raises:
        Fault: if the file cannot be read to the end; names the file.
    """
    try:
        image = open_image(path)
        if path.lower().endswith(".gz"):  # nibabel stops after the last voxel, before the checksum
            image = type(image).from_bytes(gzip.decompress(Path(path).read_bytes()))
        return np.asanyarray(image.dataobj)
    except MemoryError:
        raise Fault(f"{path} does not fit into memory") from None
    except Exception as error:  # gzip, zlib and nibabel raise different classes for damaged data
        raise _damaged(path, str(error)) from None


def _damaged(path: str, found: str) -> Fault:
    return Fault(f"{path} is truncated or corrupt ({found}); copy or download it again")


def _stored_header(path: str) -> Any:
    """Return the header without nibabel's corrections."""
    with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as file:
        block = file.read(_HEADER_BYTES)
    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(block) else nib.Nifti1Header
    return kind(block[: kind.template_dtype.itemsize], check=False)


def _check_first_bytes(path: str) -> None:
    if lost := why_lost(path):
        raise Fault(f"{path} {lost}")
    if not is_nifti(os.path.basename(path)):
        raise Fault(f"{path} is not a NIfTI file by its name; allowed: .nii, .nii.gz")
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as error:
        raise Fault(f"{path} is not readable ({error.strerror})") from None
    packed = path.lower().endswith(".gz")
    if not start:
        raise Fault(f"{path} is empty (0 bytes)")
    if start[:1] == b"<":
        raise Fault(f"{path} looks like an HTML page: the download gave a web page, not the file")
    if packed and start != b"\x1f\x8b":
        raise Fault(f"{path} is not gzip-compressed, though its name ends in .gz")
    if not packed and start == b"\x1f\x8b":
        raise Fault(f"{path} is gzip-compressed, though its name does not end in .gz; rename it to .nii.gz")


def _check_complete(path: str, needed: int) -> None:
    size = os.path.getsize(path)
    if not path.lower().endswith(".gz"):
        _check_length(path, size, needed)
        return
    with open(path, "rb") as file:
        file.seek(max(0, size - 4))
        stored = int.from_bytes(file.read(4), "little")
    if stored != needed % 2**32 or needed > size * _LARGEST_RATIO:
        inflated, whole = _inflate(path)
        if not whole:
            raise _damaged(path, f"{inflated} bytes can be inflated, its header asks for {needed}")
        _check_length(path, inflated, needed)


def _check_length(path: str, found: int, needed: int) -> None:
    """Bytes after the last voxel show that the header's shape or type is not that of the voxels."""
    if found < needed:
        raise _damaged(path, f"{found} bytes, its header asks for {needed}")
    if found > needed:
        raise Fault(
            f"{path} does not fit its header: {found} bytes, the header's shape and data type ask for {needed};"
            " one of them is wrong"
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
