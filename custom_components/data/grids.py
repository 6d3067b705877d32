"""Where a volume lies in space: the affine that a header states, in mm, and how the grids of two files compare."""

from __future__ import annotations

from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from custom_components.faults import Fault

#: Affines of one case, written by different programs, agree to float32 and to a rounded header.
AFFINE_TOLERANCE_MM = 1e-2
# Headers that round their spacing differ from their affine by less than this share.
_SPACING_TOLERANCE = 1e-2
_SPACING_MM = (0.01, 100.0)  # from microscopic CT to the thickest slices
_FARTHEST_MM = 1e6
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIfTI's codes: unknown, metre, mm, micron
_UNIT_NAMES = {0: "unknown (taken as mm)", 1: "metre", 2: "mm", 3: "micron"}
_FIRST_TEMPLATE_CODE = 3  # of an sform: Talairach, MNI or another template instead of the scanner's space


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


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Return the spacing along the three axes of an affine (4, 4)."""
    with np.errstate(over="ignore"):  # a damaged header; infinity is refused
        return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def affine_in_mm(path: str, image: Any, raw: Any) -> np.ndarray:
    """Return the affine of a NIfTI image in mm, after checking that its header states one.

    The sform counts if it has a code, otherwise the qform, otherwise the spacing alone. If the spacing of an sform
    that leads to a template differs from the voxels' own, the qform counts: the sform then stretches the patient.

    Args:
        path: for messages.
        image: nibabel image; nibabel replaces a spacing of 0 by 1 in it.
        raw: the same header as it is stored.

    Raises:
        Fault: for a spacing that is 0, not finite or outside 0.01 to 100 mm, unknown units, an affine that is
            not finite or not invertible, and an affine that contradicts the spacing; names the file.
    """
    stored = np.abs(np.array(raw["pixdim"][1:4], dtype=np.float64))
    if not (np.isfinite(stored).all() and stored.min() > 0):
        raise Fault(f"{path} has a spacing (pixdim) of {_times(stored)}; allowed: three lengths above 0")
    unit = int(raw["xyzt_units"]) % 8
    if unit not in _MM_PER_UNIT:
        raise Fault(f"{path} has xyzt_units {unit}, which NIfTI does not define; allowed: 1 metre, 2 mm, 3 micron")
    affine = _chosen_affine(path, image, stored)
    affine[:3] *= _MM_PER_UNIT[unit]
    spacing = spacing_of(affine)
    smallest, largest = _SPACING_MM
    if not (spacing.min() >= smallest and spacing.max() <= largest):
        raise Fault(
            f"{path} has a spacing of {_times(spacing)} mm (xyzt_units: {_UNIT_NAMES[unit]}); allowed:"
            f" {smallest:g} to {largest:g} mm; correct its pixdim or xyzt_units"
        )
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise Fault(f"{path} has an affine that cannot be inverted: its axes lie in one plane; correct its header")
    if np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise Fault(f"{path} lies more than {_FARTHEST_MM:g} mm from the origin; correct its affine")
    return affine


def _chosen_affine(path: str, image: Any, stored: np.ndarray) -> np.ndarray:
    """Return the affine in the header's units; its spacing is that of the header, ``stored``."""
    affine: np.ndarray = np.array(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all():
        raise Fault(f"{path} has an affine with values that are not finite; correct its header")
    if np.allclose(spacing_of(affine), stored, rtol=_SPACING_TOLERANCE, atol=0):
        return affine
    if int(image.header["qform_code"]) > 0 and int(image.header["sform_code"]) >= _FIRST_TEMPLATE_CODE:
        qform: np.ndarray = np.array(image.header.get_qform(), dtype=np.float64)
        return qform
    raise Fault(
        f"{path} contradicts itself: its affine has a spacing of {_times(spacing_of(affine))}, its pixdim"
        f" {_times(stored)}; they must agree"
    )


def check_same_grid(path: str, header: Header, other_path: str, other: Header) -> None:
    """Check that two files have the same shape and the same position in space.

    Raises:
        Fault: naming both files and how they differ.
    """
    if header.spatial_shape != other.spatial_shape:
        raise Fault(
            f"{path} has shape {header.spatial_shape}, {other_path} has {other.spatial_shape}; they must agree"
        )
    apart = _mm_apart(header, other)
    allowed = AFFINE_TOLERANCE_MM * max(1.0, max(header.spacing) * max(header.spatial_shape) / 100)
    if not apart <= allowed:  # also true for NaN
        raise Fault(
            f"{path} lies elsewhere in space than {other_path}:"
            f" their affines put a corner {apart:.3g} mm apart (allowed {allowed:.2g} mm)"
        )


def orientation_onto(path: str, header: Header, other_path: str, other: Header) -> np.ndarray:
    """Return how the axes of one file are permuted and flipped to give the grid of another file.

    Files of one case may store the same voxels in different orders of the axes.

    Returns:
        nibabel's orientation array (3, 2), for ``nibabel.apply_orientation``.

    Raises:
        Fault: if no order of the axes gives the other grid; names both files and how they differ.
    """
    turned: np.ndarray = nib.orientations.io_orientation(np.linalg.inv(other.affine) @ header.affine)
    x, y, z = (header.spatial_shape[axis] for axis in np.argsort(turned[:, 0]))
    if (x, y, z) != other.spatial_shape:
        check_same_grid(path, header, other_path, other)
    affine = header.affine @ nib.orientations.inv_ornt_aff(turned, header.spatial_shape)
    check_same_grid(path, header._replace(spatial_shape=(x, y, z), affine=affine), other_path, other)
    return turned


def _mm_apart(header: Header, other: Header) -> float:
    """Compare at the far corner of the volume, where small errors in the directions add up."""
    corners = np.array([[0, 0, 0, 1], [*header.spatial_shape, 1]], dtype=float)
    return float(np.abs(corners @ (header.affine - other.affine).T).max())


def _times(lengths: np.ndarray) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
