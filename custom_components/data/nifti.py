"""Reading one NIfTI file: its header, whether the file is complete (without inflating it), and its voxels."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np

from custom_components.data.grids import Header, affine_in_mm, spacing_of
from custom_components.data.names import is_nifti
from custom_components.data.walk import why_lost
from custom_components.faults import Fault

_LARGEST_RATIO = 1032  # of deflate, which gzip uses
_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
_INFLATERS = ("isal.igzip", "zlib_ng.gzip_ng")  # both verify checksums, as Python's gzip does


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
            are not real numbers; if its geometry is invalid (see `affine_in_mm`); names the file.
    """
    with _opened(path) as file:
        return _checked_header(path, file)


def read_image(path: str) -> tuple[Header, np.ndarray]:
    """Read the header of a file as `read_header` does, and its voxels as `read_voxels` does.

    The file is opened once, because each opening takes long on a network drive.

    Raises:
        Fault: as both functions.
    """
    with _opened(path) as file:
        return _checked_header(path, file), _voxels(path, file)


def read_voxels(path: str) -> np.ndarray:
    """Read all values of a file, scaled as its header says; verifies gzip's checksums.

    Returns:
        The values as stored, in the header's shape.

    Raises:
        Fault: if the file cannot be read to the end; names the file.
    """
    with _opened(path) as file:
        return _voxels(path, file)


def _checked_header(path: str, file: BinaryIO) -> Header:
    try:
        image, stored = _image_and_header(path, file)
        shape = tuple(int(n) for n in image.shape)
        dtype = image.get_data_dtype()
        needed = int(image.dataobj.offset) + math.prod(shape) * dtype.itemsize
        affine = affine_in_mm(path, image, stored)
    except Fault:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from None
    except Exception as error:  # nibabel raises many classes for a damaged header
        if _is_packed(path) and not _inflate(file)[1]:
            raise _damaged(path, "its header cannot be inflated") from None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Fault(f"{path} is not readable as NIfTI ({reason})") from None
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours (RGB)" if dtype.fields else str(dtype)
        raise Fault(f"{path} holds {kind}; allowed: one real number per voxel and channel")
    kept = shape[:3] + tuple(n for n in shape[3:] if n != 1)
    if len(kept) not in (3, 4) or min(kept) < 1:
        raise Fault(f"{path} has shape {shape}; allowed: 3D, or 4D with the channels last")
    _check_complete(path, file, needed)
    spacing = tuple(float(length) for length in spacing_of(affine))
    return Header(kept[:3], kept[3] if len(kept) == 4 else 1, spacing, affine)  # type: ignore[arg-type]


def _image_and_header(path: str, file: BinaryIO) -> tuple[Any, Any]:
    """Return nibabel's image, whose voxels are not read yet, and the header without nibabel's corrections."""
    file.seek(0)
    stream: Any = gzip.GzipFile(fileobj=file) if _is_packed(path) else file
    block = stream.read(_HEADER_BYTES)
    kind = _image_class(block)
    stream.seek(0)
    header = kind.header_class
    return kind.from_stream(stream), header(block[: header.template_dtype.itemsize], check=False)


def _image_class(block: bytes) -> Any:
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        if kind.header_class.may_contain_header(block):
            return kind
    raise ValueError("its first bytes are not a NIfTI header")


def _voxels(path: str, file: BinaryIO) -> np.ndarray:
    try:
        file.seek(0)
        data = file.read()
        if _is_packed(path):  # nibabel would stop after the last voxel, before the checksum
            data = _fastest_inflate()(data)
        return np.asanyarray(_image_class(data[:_HEADER_BYTES]).from_bytes(data).dataobj)
    except MemoryError:
        raise Fault(f"{path} does not fit into memory") from None
    except Exception as error:  # gzip, zlib and nibabel raise different classes for damaged data
        raise _damaged(path, str(error)) from None


@cache
def _fastest_inflate() -> Callable[[bytes], bytes]:
    """Return the gzip inflation of ``isal`` or ``zlib-ng`` where one is installed, else Python's."""
    for name in _INFLATERS:
        try:
            return import_module(name).decompress
        except ImportError:
            continue
    return gzip.decompress


def _is_packed(path: str) -> bool:
    return path.lower().endswith(".gz")


def _damaged(path: str, found: str) -> Fault:
    return Fault(f"{path} is truncated or corrupt ({found}); copy or download it again")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a file after checking that its name and its first bytes are those of a NIfTI file."""
    if lost := why_lost(path):
        raise Fault(f"{path} {lost}")
    if not is_nifti(os.path.basename(path)):
        raise Fault(f"{path} is not a NIfTI file by its name; allowed: .nii, .nii.gz")
    try:
        file = open(path, "rb")  # noqa: SIM115 - a failure below belongs to the caller
    except OSError as error:
        raise Fault(f"{path} is not readable ({error.strerror})") from None
    with file:
        _check_first_bytes(path, file)
        yield file


def _check_first_bytes(path: str, file: BinaryIO) -> None:
    try:
        start = file.read(2)
    except OSError as error:
        raise Fault(f"{path} is not readable ({error.strerror})") from None
    if not start:
        raise Fault(f"{path} is empty (0 bytes)")
    if start[:1] == b"<":
        raise Fault(f"{path} looks like an HTML page: the download gave a web page, not the file")
    if _is_packed(path) and start != b"\x1f\x8b":
        raise Fault(f"{path} is not gzip-compressed, though its name ends in .gz")
    if not _is_packed(path) and start == b"\x1f\x8b":
        raise Fault(f"{path} is gzip-compressed, though its name does not end in .gz; rename it to .nii.gz")


def _check_complete(path: str, file: BinaryIO, needed: int) -> None:
    size = file.seek(0, os.SEEK_END)
    if not _is_packed(path):
        _check_length(path, size, needed)
        return
    file.seek(max(0, size - 4))
    stored = int.from_bytes(file.read(4), "little")
    if stored != needed % 2**32 or needed > size * _LARGEST_RATIO:
        inflated, whole = _inflate(file)
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


def _inflate(file: BinaryIO) -> tuple[int, bool]:
    """Return how many bytes a gzip file inflates to, and whether it is complete."""
    total = 0
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while block := stream.read(1 << 13):  # small blocks, because a block with a broken end is lost
                total += len(block)
    except (EOFError, OSError, zlib.error):
        return total, False
    return total, True
