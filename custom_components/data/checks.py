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
            _same_grid(path, header, paths[0], headers[0])
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
) -> None:
    """Check that every label map lies on its image's grid and holds class numbers only.

    Args:
        items: dictionaries with ``image_key`` and ``label_key``.
        num_classes: number of classes with the background; values 0 to ``num_classes - 1`` are allowed.
        read_values: also read the voxels (about 0.1 s a CT); else headers only.
        label_key: key of the label's path.
        image_key: key of the image's path.
        progress: show a bar on stderr.
        workers: threads that read.

    Raises:
        ValueError: naming the file, for one that is missing or truncated, of another shape or affine than its
            image, or with values that are no class.
    """

    def check(item: Item) -> None:
        image, label = _paths(item, image_key)[0], _paths(item, label_key)[0]
        header = read_header(label)
        if header.channels != 1:
            raise ValueError(f"{label} has {header.channels} channels; a label map has 1")
        _same_grid(label, header, image, read_header(image))
        if read_values:
            foreign = foreign_values(label, num_classes)
            if foreign:
                shown = ", ".join(f"{value:g}" for value in foreign[:_LISTED_VALUES])
                more = f" and {len(foreign) - _LISTED_VALUES} more" if len(foreign) > _LISTED_VALUES else ""
                raise ValueError(
                    f"{label} holds the values {shown}{more}; allowed: whole numbers 0 to {num_classes - 1}"
                )

    _each(check, items, "checking labels", progress, workers)


def foreign_values(label: str, num_classes: int) -> list[float]:
    """The values in a label file, sorted, that are not one of 0 to ``num_classes - 1``.

    Raises:
        ValueError: if the voxels cannot be read.
    """
    values = read_voxels(label)
    if values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() < num_classes:
        return []  # the usual case, without the sort that np.unique does
    return [float(v) for v in np.unique(values) if not (v == np.round(v) and 0 <= v < num_classes)]


def _same_grid(path: str, header: Header, other_path: str, other: Header) -> None:
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
