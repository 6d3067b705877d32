"""Checks on the files of a data list that cost little and save hours; what they raise names the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from custom_components.data.layouts import Item
from custom_components.data.nifti import Header, read_header, read_voxels

T = TypeVar("T")
# Affines of one case, written by different programs, agree to float32 and to a rounded header.
AFFINE_TOLERANCE_MM = 1e-2
_LISTED_VALUES = 10
_TABLE_SIZE = 1 << 16


def check_images(
    items: Sequence[Item], channels: int, image_key: str = "image", progress: bool = True, workers: int = 4
) -> list[Header]:
    """Check that every image is there, whole, and has the expected channels.

    Args:
        items: dictionaries with ``image_key``: a path, or one path per channel.
        channels: channels the network takes. A 3D file has one, a 4D file its last dimension, several
            files as many as they have together.
        image_key: key of the paths.
        progress: show a bar on stderr.
        workers: threads that read headers.

    Returns:
        One header per item, with all its channels.

    Raises:
        ValueError: naming the first bad file, what was found and what is allowed.
    """

    def check(item: Item) -> Header:
        paths = _paths(item, image_key)
        headers = [read_header(path) for path in paths]
        for path, header in zip(paths[1:], headers[1:], strict=True):
            check_same_grid(path, header, paths[0], headers[0])
        found = sum(header.channels for header in headers)
        if found != channels:
            of = f"{paths[0]} has" if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more files have"
            raise ValueError(f"{of} {found} channels; expected {channels}")
        return headers[0]._replace(channels=found)

    return _each(check, items, "checking images", progress, workers)


def check_labels(
    items: Sequence[Item],
    num_classes: int,
    read_values: bool = True,
    label_key: str = "label",
    image_key: str = "image",
    progress: bool = True,
    workers: int = 4,
    label_values: Sequence[int] | None = None,
    label_source: str | None = None,
) -> None:
    """Check that every label map lies on its image's grid and holds class numbers only.

    Args:
        items: dictionaries with ``image_key`` and ``label_key``.
        num_classes: number of classes with the background; values 0 to ``num_classes - 1`` are allowed, unless
            ``label_values`` are given.
        read_values: also read the voxels (about 0.1 s a CT); else headers only.
        label_key: key of the label's path.
        image_key: key of the image's path.
        progress: show a bar on stderr.
        workers: threads that read.
        label_values: the values that label files may hold, where these are not the class numbers.
        label_source: the config's name for whose values these are (``brats2021``), for the message.

    Raises:
        ValueError: naming the file, for one that is missing or truncated, of another shape or affine than its
            image, or with values that are no class; then the values found and allowed.
    """
    allowed = range(num_classes) if label_values is None else sorted(label_values)

    def check(item: Item) -> None:
        image, label = _paths(item, image_key)[0], _paths(item, label_key)[0]
        header = read_header(label)
        if header.channels != 1:
            raise ValueError(f"{label} has {header.channels} channels; a label map has 1")
        check_same_grid(label, header, image, read_header(image))
        if read_values:
            _check_values(label, allowed, label_source)

    _each(check, items, "checking labels", progress, workers)


def _check_values(label: str, allowed: Sequence[int], source: str | None) -> None:
    found = distinct_values(label)
    foreign = [value for value in found if value not in allowed]
    if not foreign:
        return
    told = f"{label} holds the values {_shown(foreign)}"
    if source is None and list(allowed) == list(range(len(allowed))):
        raise ValueError(f"{told}; allowed: whole numbers 0 to {len(allowed) - 1}")
    # All of them tell from which data set a file comes.
    told += f" (in all {_shown(found)}); allowed"
    told += f" with label_source {source!r}" if source else ""
    raise ValueError(f"{told}: {', '.join(map(str, allowed))}")


def _shown(values: Sequence[float]) -> str:
    more = f" and {len(values) - _LISTED_VALUES} more" if len(values) > _LISTED_VALUES else ""
    return ", ".join(f"{value:g}" for value in values[:_LISTED_VALUES]) + more


def distinct_values(label: str) -> list[float]:
    """The values in a label file, sorted, each once.

    Raises:
        ValueError: if the voxels cannot be read.
    """
    values = read_voxels(label)
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < _TABLE_SIZE:
        seen = np.zeros(_TABLE_SIZE, bool)  # the usual case, without the sort that np.unique does
        for plane in np.moveaxis(values, -1, 0):  # by planes: an index takes 8 bytes a voxel
            seen[plane] = True
        return [float(value) for value in np.flatnonzero(seen)]
    return [float(value) for value in np.unique(values)]


def check_same_grid(path: str, header: Header, other_path: str, other: Header) -> None:
    """Check that two files have one shape and lie at one place.

    Raises:
        ValueError: naming both files and how they differ.
    """
    if header.spatial_shape != other.spatial_shape:
        raise ValueError(
            f"{path} has shape {header.spatial_shape}, {other_path} has {other.spatial_shape}; they must agree"
        )
    # Compared where it matters, at the far corner of the volume: small errors in the directions add up there.
    corners = np.array([[0, 0, 0, 1], [*header.spatial_shape, 1]], dtype=float)
    apart = np.abs(corners @ (header.affine - other.affine).T).max()
    allowed = AFFINE_TOLERANCE_MM * max(1.0, max(header.spacing) * max(header.spatial_shape) / 100)
    if not apart <= allowed:  # also where it is nan
        raise ValueError(
            f"{path} lies elsewhere in space than {other_path}:"
            f" their affines put a corner {apart:.3g} mm apart (allowed {allowed:.2g} mm)"
        )


def _paths(item: Item, key: str) -> list[str]:
    value: Any = item.get(key)
    if not value:
        raise ValueError(f"a case has no {key!r}: {item}")
    return [str(part) for part in value] if isinstance(value, (list, tuple)) else [str(value)]


def _each(check: Callable[[Item], T], items: Sequence[Item], title: str, progress: bool, workers: int) -> list[T]:
    """``check`` of every item, in order, in a few threads; the first failure stops the rest."""
    pool = ThreadPoolExecutor(max_workers=max(1, workers))
    try:
        results = pool.map(check, items)
        return list(tqdm(results, total=len(items), desc=title, unit="case", disable=not progress, leave=False))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
