"""Reading the volumes of a case: an image of one or several files, and a label map."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from os import PathLike, fspath

import nibabel as nib
import numpy as np

from custom_components.data.grids import Header, orientation_onto
from custom_components.data.nifti import read_image
from custom_components.faults import Fault

#: A label value this close to a whole number is that number: a scaled or resaved label map is rarely exact.
LABEL_TOLERANCE = 1e-3
NON_FINITE = ("raise", "replace")

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def check_non_finite(value: str) -> None:
    """Raise Fault unless ``value`` says what happens to values that are not finite."""
    if value not in NON_FINITE:
        raise Fault(f"non_finite is {value!r}; allowed: {', '.join(NON_FINITE)}")


def read_volume(paths: Paths, non_finite: str = "raise") -> tuple[np.ndarray, np.ndarray]:
    """Read an image of one file, or of several files that hold its channels.

    Files of one case may store their axes in different orders: all are brought onto the first file's grid.

    Args:
        paths: ``.nii`` or ``.nii.gz``, NIfTI-1 or NIfTI-2.
        non_finite: what NaN and infinity do: ``raise``, or ``replace`` by the channel's smallest finite value
            (CT scanners mark what lies outside the field of view so).

    Returns:
        Float32 values ``(C, X, Y, Z)`` with the header's scaling applied, and the affine (4, 4), voxel to mm.

    Raises:
        Fault: for a file that `read_image` refuses, damaged data, files on different grids, and values that
            are not finite in float32.
    """
    check_non_finite(non_finite)
    names = [fspath(paths)] if isinstance(paths, (str, PathLike)) else [fspath(path) for path in paths]
    headers: list[Header] = []
    volumes = []
    for name in names:
        header, stored = read_image(name)
        headers.append(header)
        turned = orientation_onto(name, header, names[0], headers[0])
        stored = stored.reshape((*header.spatial_shape, header.channels), order="F")
        volumes.append(_oriented(name, stored, turned, non_finite))
    return volumes[0] if len(volumes) == 1 else np.concatenate(volumes), headers[0].affine


def read_label(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read a label map; values within 0.001 of a whole number are rounded.

    Returns:
        Whole numbers ``(X, Y, Z)``, and the affine (4, 4), voxel to mm.

    Raises:
        Fault: for a file that `read_image` refuses, damaged data, several channels, and other values.
    """
    name = fspath(path)
    header, stored = read_image(name)
    if header.channels != 1:
        raise Fault(f"{name} has {header.channels} channels; a label map has 1")
    stored = stored.reshape((*header.spatial_shape, 1), order="F")
    (values,) = _channels_first(stored, stored.dtype.newbyteorder("="))
    if values.dtype.kind in "iu":
        return values, header.affine
    whole, wrong = round_labels(values)
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise Fault(
            f"{name} holds the value {values[place]:.9g} at voxel {_shown(place)}, and {int(wrong.sum()) - 1} more"
            f" values that are not whole; allowed in a label map: whole numbers, exact to {LABEL_TOLERANCE:g}"
        )
    return whole, header.affine


def round_labels(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return label values rounded to whole numbers, and where a value is none (boolean, same shape)."""
    whole = np.rint(values)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return whole, ~(np.abs(values - whole) <= LABEL_TOLERANCE)  # also true for NaN


def _oriented(path: str, stored: np.ndarray, turned: np.ndarray, non_finite: str) -> np.ndarray:
    """Return stored values ``(X, Y, Z, C)`` as float32 ``(C, X, Y, Z)``, along the axes of another file."""
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are reported
        values = _channels_first(stored, np.dtype(np.float32))
    if stored.dtype.kind == "f":
        for channel, of_channel in enumerate(values):
            _settle_non_finite(path, of_channel, channel, non_finite)
    return np.moveaxis(nib.apply_orientation(np.moveaxis(values, 0, -1), turned), -1, 0)


def _channels_first(stored: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Copy stored values ``(X, Y, Z, C)`` to ``(C, X, Y, Z)`` in C order.

    A file holds X as its fastest axis. Plane by plane, the copy stays within the processor's cache.
    """
    values = np.empty((stored.shape[3], *stored.shape[:3]), dtype)
    for y in range(stored.shape[1]):
        values[:, :, y] = np.moveaxis(stored[:, y], -1, 0)
    return values


def _settle_non_finite(path: str, values: np.ndarray, channel: int, non_finite: str) -> None:
    """Raise Fault for, or replace in place, what is not finite in one channel ``(X, Y, Z)``."""
    if np.isfinite(values.min()) and np.isfinite(values.max()):  # both hand NaN on
        return
    finite = np.isfinite(values)
    count, place = int(finite.size - finite.sum()), np.unravel_index(int(np.argmin(finite)), finite.shape)
    found = f"{path} holds {count} of {finite.size} values that are not finite (NaN or infinity)"
    if non_finite == "raise" or not finite.any():
        raise Fault(
            f"{found}, the first at voxel {_shown(place)} of channel {channel}; correct the file"
            + (
                ", or set non_finite to replace"
                if finite.any()
                else "; there is no finite value to replace them by"
            )
        )
    smallest = values[finite].min()
    values[~finite] = smallest
    _tell_once(f"{found} in channel {channel}; they become its smallest finite value, {smallest:g}")


@cache
def _tell_once(message: str) -> None:
    logging.getLogger(__name__).warning(message)


def _shown(place: Sequence[np.integer]) -> str:
    return "(" + ", ".join(str(int(index)) for index in place) + ")"
