"""Writing a mask in the space of the image that it belongs to."""

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
    shape = read_header(source).spatial_shape
    if mask.shape != shape:
        raise Fault(f"the mask for {path} has shape {mask.shape}, {source} has {shape}; they must agree")
    if mask.dtype.kind not in "iub":
        raise ValueError(f"the mask for {path} holds {mask.dtype}; allowed: whole numbers")
    low, high = (int(mask.min()), int(mask.max())) if mask.size else (0, 0)
    dtype = next(t for t in (np.uint8, np.int16, np.int32) if low >= np.iinfo(t).min and high <= np.iinfo(t).max)
    opened = open_image(source)
    header = opened.header.copy()
    header.extensions.clear()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0  # the display range was the image's
    header["descrip"] = description.encode()[:79]
    header["aux_file"] = b""
    # Without an affine, nibabel keeps both forms of the header and their codes.
    image = type(opened)(np.asarray(mask, dtype), None, header)
    write_atomically(path, lambda partial: nib.save(image, partial))
