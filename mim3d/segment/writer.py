"""Writing a mask, or probabilities, in the space of the image that they belong to."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np

from custom_components.atomic import write_atomically
from custom_components.data.nifti import open_image, read_header
from custom_components.faults import Fault


def write_like(
    mask: np.ndarray, like: str | os.PathLike[str], target: str | os.PathLike[str], description: str = ""
) -> None:
    """Write a mask with the shape, spacing, units, sform and qform of an image, with their codes.

    The mask is a file of its own: it has the image's NIfTI version, but no extensions, which may name the patient.

    Args:
        mask: whole numbers ``(X, Y, Z)``, on the voxels of ``like`` as they are stored.
        like: the image; of a 4D file the three spatial axes count.
        target: ``.nii`` or ``.nii.gz``; it appears when it is complete, and replaces an older file.
        description: text for the header's field ``descrip``, at most 79 bytes.

    Raises:
        Fault: if the mask has another shape than the image, or if the file cannot be written.
        ValueError: if the mask does not hold whole numbers.
    """
    source, path = os.fspath(like), Path(target)
    _check_shape("mask", mask.shape, source, path)
    if mask.dtype.kind not in "iub":
        raise ValueError(f"the mask for {path} holds {mask.dtype}; allowed: whole numbers")
    low, high = (int(mask.min()), int(mask.max())) if mask.size else (0, 0)
    dtype = next(t for t in (np.uint8, np.int16, np.int32) if low >= np.iinfo(t).min and high <= np.iinfo(t).max)
    _write(np.asarray(mask, dtype), source, path, description)


def write_channels_like(
    values: np.ndarray, like: str | os.PathLike[str], target: str | os.PathLike[str], description: str = ""
) -> None:
    """Write a 4D image of several channels in float32, otherwise as `write_like` writes a mask.

    Args:
        values: ``(X, Y, Z, C)``, on the voxels of ``like`` as they are stored.
        like: the image; of a 4D file the three spatial axes count.
        target: ``.nii`` or ``.nii.gz``; it appears when it is complete, and replaces an older file.
        description: text for the header's field ``descrip``, at most 79 bytes.

    Raises:
        Fault: if the channels have another shape than the image, or if the file cannot be written.
    """
    source, path = os.fspath(like), Path(target)
    _check_shape("image", values.shape[:3], source, path)
    _write(np.asarray(values, np.float32), source, path, description)


def _check_shape(what: str, found: tuple[int, ...], source: str, path: Path) -> None:
    shape = read_header(source).spatial_shape
    if found != shape:
        raise Fault(f"the {what} for {path} has shape {found}, {source} has {shape}; they must agree")


def _write(values: np.ndarray, source: str, path: Path, description: str) -> None:
    opened = open_image(source)
    header = opened.header.copy()
    header.extensions.clear()
    header.set_data_shape(values.shape)
    header.set_data_dtype(values.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0  # the display range was the image's
    header["descrip"] = description.encode()[:79]
    header["aux_file"] = b""
    # Without an affine, nibabel keeps both forms of the header and their codes.
    image = type(opened)(values, None, header)
    write_atomically(path, lambda partial: nib.save(image, partial))
