"""Checks on the files of a data list: headers, grids and label values; every error names the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from custom_components.data.grids import Header, orientation_onto
from custom_components.data.names import Item, files_of
from custom_components.data.nifti import read_header, read_voxels
from custom_components.data.volumes import round_labels
from custom_components.threads import map_in_threads
from custom_components.transfer.read import file_version

_LISTED_VALUES = 10
_TABLE_SIZE = 1 << 16


def image_header(path: str) -> Header:
    """Return the header of a file, see `read_header`; an unchanged file is read once."""
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
    map_in_threads(lambda item: check_image(item, channels), items, "checking images", progress=progress)


def check_image(item: Item, channels: int | None) -> None:
    """Check one case as `check_images` does; ``channels`` None: any number of channels.

    Raises:
        ValueError: naming the file.
    """
    paths = _paths(item, "image")
    headers = [image_header(path) for path in paths]
    for path, header in zip(paths[1:], headers[1:], strict=True):
        orientation_onto(path, header, paths[0], headers[0])
    found = sum(header.channels for header in headers)
    if channels is not None and found != channels:
        of = f"{paths[0]} has" if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more files have"
        raise ValueError(f"{of} {found} channels; expected {channels}")


def check_labels(
    items: Sequence[Item], allowed: Sequence[int], source: str | None = None, progress: bool = True
) -> list[list[float]]:
    """Check that every label map lies on its image's grid and holds allowed values only.

    The axes of a label map may be stored in another order or direction than the image's.

    Args:
        items: dictionaries with ``image`` and ``label``.
        allowed: values that label files may hold.
        source: name of the source of these values (``brats2021``), for the message.
        progress: show a bar on stderr.

    Returns:
        The values in each item's label map.

    Raises:
        ValueError: naming a file that is missing, truncated, or of another shape or affine than its image; or one
            with other values, then also the values found and allowed.
    """
    return map_in_threads(
        lambda item: check_label(item, allowed, source), items, "checking labels", progress=progress
    )


def check_label(item: Item, allowed: Sequence[int] | None, source: str | None = None) -> list[float]:
    """Check one case as `check_labels` does; ``allowed`` None: any whole numbers.

    Raises:
        ValueError: naming the file.
    """
    return check_label_values(checked_label_map(item), allowed, source)


def check_label_values(label: str, allowed: Sequence[int] | None, source: str | None = None) -> list[float]:
    """Return the values of a label file, after checking them as `check_label` does, whatever its image is.

    Raises:
        ValueError: naming the file.
    """
    found = label_values(label)
    if allowed is None:
        fractions = [value for value in found if not value.is_integer()]
        if fractions:
            values = "values" if len(fractions) > 1 else "value"
            raise ValueError(f"{label} holds the {values} {_shown(fractions)}; allowed: whole numbers")
    else:
        _check_values(label, found, allowed, source)
    return found


def checked_label_map(item: Item) -> str:
    """Return the path of a case's label map, after checking that it lies on its image's grid.

    Raises:
        ValueError: naming the file.
    """
    image, (label, *more) = _paths(item, "image")[0], _paths(item, "label")
    if more:
        raise ValueError(f"{label} and {len(more)} more label files belong to {image}; allowed: one label map")
    header = image_header(label)
    if header.channels != 1:
        raise ValueError(f"{label} has {header.channels} channels; a label map has 1")
    orientation_onto(label, header, image, image_header(image))
    return label


def _check_values(label: str, found: Sequence[float], allowed: Sequence[int], source: str | None) -> None:
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
    return ", ".join(f"{value:.9g}" for value in values[:_LISTED_VALUES]) + more


def label_values(label: str) -> list[float]:
    """Return `distinct_values` of a label file; an unchanged file is read once."""
    return list(_label_values(*file_version(label)))


@cache
def _label_values(path: str, size: int, changed_ns: int) -> tuple[float, ...]:
    return tuple(distinct_values(path))


def distinct_values(label: str) -> list[float]:
    """Return the values in a label file, sorted, each once; those within 0.001 of a whole number are rounded.

    Raises:
        ValueError: if the voxels cannot be read.
    """
    values, others = read_voxels(label), np.array([])
    if values.dtype.kind == "f":
        whole, wrong = round_labels(values)
        values, others = whole[~wrong], np.unique(values[wrong])
    if values.size and values.min() >= 0 and values.max() < _TABLE_SIZE:
        seen = np.zeros(_TABLE_SIZE, bool)  # the usual case, without np.unique's sort
        for plane in np.moveaxis(values, -1, 0):  # plane by plane, because an index takes 8 bytes per voxel
            seen[plane.astype(np.intp, copy=False)] = True
        values = np.flatnonzero(seen)
    return [float(value) for value in np.unique([*others, *map(float, np.unique(values))])]  # NaN last


def _paths(item: Item, key: str) -> list[str]:
    paths = files_of(item, key)
    if not paths:
        raise ValueError(f"a case has no {key!r}: {item}")
    return paths
