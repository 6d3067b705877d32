"""Checks on the files of a data list: headers, grids and label values; every error names the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from tqdm import tqdm

from custom_components.data.layouts import Item
from custom_components.data.nifti import Header, read_header, read_voxels
from custom_components.transfer.read import file_version

# Affines of one case, written by different programs, agree to float32 and to a rounded header.
AFFINE_TOLERANCE_MM = 1e-2
_LISTED_VALUES = 10
_TABLE_SIZE = 1 << 16
_THREADS = 4


def image_header(path: str) -> Header:
    """Return the header of a file, see :func:`read_header`; an unchanged file is read once."""
    return _header(*file_version(path))


@cache
def _header(path: str, size: int, changed_ns: int) -> Header:
    return read_header(path)


def check_images(items: Sequence[Item], channels: int, progress: bool = True) -> None:
    """Check that every image exists, is complete, and has the expected channels.

    Args:
        items: dictionaries with ``image``: a path, or one path per channel.
        channels: channels the network takes. A 3D file has one, a 4D file its last dimension, several files as
            many as they have together.
        progress: show a bar on stderr.

    Raises:
        ValueError: naming the first bad file, what was found and what is allowed.
    """

    def check(item: Item) -> None:
        paths = _paths(item, "image")
        headers = [image_header(path) for path in paths]
        for path, header in zip(paths[1:], headers[1:], strict=True):
            check_same_grid(path, header, paths[0], headers[0])
        found = sum(header.channels for header in headers)
        if found != channels:
            of = f"{paths[0]} has" if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more files have"
            raise ValueError(f"{of} {found} channels; expected {channels}")

    _each(check, items, "checking images", progress)


def check_labels(
    items: Sequence[Item], allowed: Sequence[int], source: str | None = None, progress: bool = True
) -> None:
    """Check that every label map lies on its image's grid and holds allowed values only.

    Args:
        items: dictionaries with ``image`` and ``label``.
        allowed: values that label files may hold.
        source: name of the source of these values (``brats2021``), for the message.
        progress: show a bar on stderr.

    Raises:
        ValueError: naming a file that is missing, truncated, or of another shape or affine than its image; or one
            with other values, then also the values found and allowed.
    """

    def check(item: Item) -> None:
        image, label = _paths(item, "image")[0], _paths(item, "label")[0]
        header = image_header(label)
        if header.channels != 1:
            raise ValueError(f"{label} has {header.channels} channels; a label map has 1")
        check_same_grid(label, header, image, image_header(image))
        _check_values(label, allowed, source)

    _each(check, items, "checking labels", progress)


def _check_values(label: str, allowed: Sequence[int], source: str | None) -> None:
    found = distinct_values(label)
    foreign = [value for value in found if value not in allowed]
    if not foreign:
        return
    message = f"{label} holds the values {_shown(foreign)}"
    if source is None and list(allowed) == list(range(len(allowed))):
        raise ValueError(f"{message}; allowed: whole numbers 0 to {len(allowed) - 1}")
    # All values together show which data set a file comes from.
    message += f" (in all {_shown(found)}); allowed"
    message += f" with label_source {source!r}" if source else ""
    raise ValueError(f"{message}: {', '.join(map(str, allowed))}")


def _shown(values: Sequence[float]) -> str:
    more = f" and {len(values) - _LISTED_VALUES} more" if len(values) > _LISTED_VALUES else ""
    return ", ".join(f"{value:g}" for value in values[:_LISTED_VALUES]) + more


def distinct_values(label: str) -> list[float]:
    """Return the values in a label file, sorted, each once.

    Raises:
        ValueError: if the voxels cannot be read.
    """
    values = read_voxels(label)
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < _TABLE_SIZE:
        seen = np.zeros(_TABLE_SIZE, bool)  # the usual case, without np.unique's sort
        for plane in np.moveaxis(values, -1, 0):  # plane by plane, because an index takes 8 bytes per voxel
            seen[plane] = True
        return [float(value) for value in np.flatnonzero(seen)]
    return [float(value) for value in np.unique(values)]


def check_same_grid(path: str, header: Header, other_path: str, other: Header) -> None:
    """Check that two files have the same shape and the same position in space.

    Raises:
        ValueError: naming both files and how they differ.
    """
    if header.spatial_shape != other.spatial_shape:
        raise ValueError(
            f"{path} has shape {header.spatial_shape}, {other_path} has {other.spatial_shape}; they must agree"
        )
    # Compared at the far corner of the volume, where small errors in the directions add up.
    corners = np.array([[0, 0, 0, 1], [*header.spatial_shape, 1]], dtype=float)
    apart = np.abs(corners @ (header.affine - other.affine).T).max()
    allowed = AFFINE_TOLERANCE_MM * max(1.0, max(header.spacing) * max(header.spatial_shape) / 100)
    if not apart <= allowed:  # also true for NaN
        raise ValueError(
            f"{path} lies elsewhere in space than {other_path}:"
            f" their affines put a corner {apart:.3g} mm apart (allowed {allowed:.2g} mm)"
        )


def _paths(item: Item, key: str) -> list[str]:
    value: Any = item.get(key)
    if not value:
        raise ValueError(f"a case has no {key!r}: {item}")
    return [str(part) for part in value] if isinstance(value, (list, tuple)) else [str(value)]


def _each(check: Callable[[Item], None], items: Sequence[Item], title: str, progress: bool) -> None:
    """Call ``check`` on every item, in a few threads; the first failure stops the rest."""
    pool = ThreadPoolExecutor(max_workers=_THREADS)
    try:
        results = pool.map(check, items)
        list(tqdm(results, total=len(items), desc=title, unit="case", disable=not progress, leave=False))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
