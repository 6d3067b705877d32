"""What a NIfTI file means, read independently of the project: voxels and affine in mm, or a refusal."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

_MM = {1: 1000.0, 3: 0.001}  # NIfTI's codes of metre and micron


class Volume(NamedTuple):
    """An image of one channel, or a label map.

    Attributes:
        voxels: (X, Y, Z), scaled as the header says.
        affine: (4, 4), voxel to mm.
        codes: of sform and qform.
    """

    voxels: np.ndarray
    affine: np.ndarray
    codes: tuple[int, int]


def meaning(path: Path) -> Volume | None:
    """Return what a file means; None if it must be refused."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
        two = any(struct.unpack(order + "i", raw[:4])[0] == 540 for order in "<>")
        image = (nib.Nifti2Image if two else nib.Nifti1Image).from_bytes(raw)
        voxels = np.asanyarray(image.dataobj)
        affine = np.array(image.affine, dtype=float)
        pixdim = np.array(image.header["pixdim"][1:4], dtype=float)
    except Exception:  # nibabel raises many classes for a damaged file
        return None
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3 or voxels.size == 0 or voxels.dtype.kind not in "iuf":
        return None
    if not np.isfinite(voxels).all() or not np.isfinite(affine).all() or not (np.abs(pixdim) > 0).all():
        return None
    affine[:3] *= _MM.get(int(image.header["xyzt_units"]) & 7, 1.0)
    if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        return None
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    return Volume(voxels, affine, codes)


def label_meaning(path: Path, image: Volume | None, classes: int) -> np.ndarray | None:
    """Return a label map on its image's grid; None if it must be refused.

    Values within 0.001 of a whole number are that number. A map with flipped or exchanged axes, but the same
    voxels in space, is put into the image's order.

    Args:
        path: of the label map.
        image: what its image means.
        classes: number of allowed values, from 0.
    """
    label = meaning(path)
    if label is None or image is None:
        return None
    whole = np.rint(label.voxels)
    if np.abs(label.voxels - whole).max() > 1e-3 or whole.min() < 0 or whole.max() >= classes:
        return None
    to_label = np.linalg.inv(label.affine) @ image.affine  # index in the image -> index in the label map
    turn, shift = np.rint(to_label[:3, :3]), np.rint(to_label[:3, 3])
    same_voxels = np.abs(to_label[:3] - np.c_[turn, shift]).max() < 1e-3 and (np.abs(turn).sum(0) == 1).all()
    index = np.stack(np.meshgrid(*map(np.arange, image.voxels.shape), indexing="ij"), -1)
    there = (index @ turn.T + shift).astype(int)
    highest = there.reshape(-1, 3).max(0) + 1
    if not same_voxels or there.min() != 0 or tuple(highest) != label.voxels.shape:
        return None
    return whole[tuple(np.moveaxis(there, -1, 0))].astype(np.uint8)
