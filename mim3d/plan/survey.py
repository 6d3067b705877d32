"""What a folder holds: the geometry of every volume, and intensities and structures of some."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from custom_components.checks.hounsfield import Finding, describe_constant, describe_ct
from custom_components.checks.volumes import check_images, checked_label_map, image_header
from custom_components.data.labelled import spread_evenly
from custom_components.data.lists import DataList
from custom_components.data.names import Item, files_of, first_image
from custom_components.data.volumes import read_label, read_volume
from custom_components.threads import map_in_threads

_THREADS = 2  # a large CT takes gigabytes as float32
_SAMPLE = 200_000  # voxels of a volume that percentiles are computed from
_AIR = -500.0  # HU; a scan of a body has lower values, other intensities seldom do


class ChannelFacts(NamedTuple):
    """Intensities of one channel of a volume.

    Attributes:
        low: lowest value.
        high: highest value.
        not_hu: what the values look like, if they are not HU; None for HU.
        air: whether some values are as low as air is in HU.
    """

    low: float
    high: float
    not_hu: Finding | None
    air: bool


class CaseFacts(NamedTuple):
    """What the voxels of a case show.

    Attributes:
        file: the first file of the image.
        channels: intensities of each channel.
        zero_share: share of voxels that are 0 in every channel.
        label_values: value of the label map -> its volume in mm³; None without a label.
        foreground: values of the first channel inside the label, or a regular sample of them; None without any.
        finite: whether no voxel is NaN or infinite.
    """

    file: str
    channels: tuple[ChannelFacts, ...]
    zero_share: float
    label_values: dict[int, float] | None
    foreground: np.ndarray | None
    finite: bool = True


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        items: every case but those of the section ``test``, with absolute paths.
        channels: number of channels of each case.
        names: the channels as the list names them; empty if it does not.
        labels: value of the label files -> name, as the list names them.
        shapes: voxels of each volume along the axes right, anterior, superior, ``(N, 3)``.
        spacings: mm of each volume along the same axes, ``(N, 3)``.
        orientations: how many volumes are stored in which axis codes.
        read: the cases whose voxels were read.
        labelled: number of cases with a label.
    """

    items: list[Item]
    channels: int
    names: list[str]
    labels: dict[int, str]
    shapes: np.ndarray
    spacings: np.ndarray
    orientations: Counter[str]
    read: list[CaseFacts]
    labelled: int

    @property
    def extents(self) -> np.ndarray:
        """Median length of the volumes in mm along each axis, ``(3,)``."""
        return np.asarray(np.median(self.shapes * self.spacings, axis=0))


def survey(data_list: DataList, volumes: int, progress: bool = True) -> Survey:
    """Read the headers of all cases, and the voxels of some.

    Args:
        data_list: the list; its section ``test`` is not read.
        volumes: how many labelled and how many unlabelled cases to read the voxels of; they are spread evenly.
        progress: show bars on stderr.

    Raises:
        ValueError: for a list without cases, a file that cannot be read, and cases with different channels; names
            the file.
    """
    items = cases(data_list)
    channels = sum(image_header(path).channels for path in files_of(items[0]))
    check_images(items, channels, progress)
    labelled = [item for item in items if item.get("label")]
    others = [item for item in items if not item.get("label")]
    chosen = [*spread_evenly(labelled, volumes), *spread_evenly(others, volumes)]
    read = map_in_threads(read_case, chosen, "reading voxels", threads=_THREADS, progress=progress)
    shapes, spacings, codes = zip(*(_geometry(first_image(item)) for item in items), strict=True)
    return Survey(
        items,
        channels,
        data_list.channels,
        data_list.labels,
        np.array(shapes),
        np.array(spacings),
        Counter(codes),
        read,
        len(labelled),
    )


def cases(data_list: DataList) -> list[Item]:
    """Return every case of a list but those of ``test``, once, with its label if it has one.

    Raises:
        ValueError: for a list without cases.
    """
    sections = [name for name in ("training", "validation", "unlabelled") if name in data_list.sections]
    if not sections:
        raise ValueError(f"{data_list.source} lists no case to train on; found {data_list.sections or 'none'}")
    return data_list.items(sections)


def read_case(item: Item) -> CaseFacts:
    """Read image and label of a case; NaN and infinity count as the channel's smallest finite value.

    Raises:
        ValueError: for a file that cannot be read, and a label map on another grid than its image.
    """
    paths, finite = files_of(item), True
    try:
        image, affine = read_volume(paths)
    except ValueError:  # it may hold NaN, or be damaged: then this raises again
        image, affine = read_volume(paths, "replace")
        finite = False
    channels = tuple(_channel(volume) for volume in image)
    zero = float(np.mean(np.all(image == 0, axis=0)))
    if not item.get("label"):
        return CaseFacts(paths[0], channels, zero, None, None, finite)
    label, _ = read_label(checked_label_map(item))
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    values, counts = np.unique(label, return_counts=True)
    volume_of = {int(v): float(count * voxel_mm3) for v, count in zip(values, counts, strict=True) if v != 0}
    inside = image[0][label != 0] if label.shape == image.shape[1:] else np.empty(0)
    return CaseFacts(paths[0], channels, zero, volume_of, _thinned(inside) if inside.size else None, finite)


def _channel(volume: np.ndarray) -> ChannelFacts:
    low, high = float(volume.min()), float(volume.max())
    # With the values' own range as the window, clipped values are no finding: they are HU.
    finding = describe_constant(low, high) or describe_ct(_thinned(volume.ravel()), low, high, (low, high))
    return ChannelFacts(low, high, finding, low < _AIR)


def _thinned(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[:: max(1, values.size // _SAMPLE)])


def _geometry(path: str) -> tuple[Any, Any, str]:
    """Return shape and spacing in the order right, anterior, superior, and the axis codes as stored."""
    header = image_header(path)
    axes = nib.orientations.io_orientation(header.affine)[:, 0].astype(int)
    shape, spacing = np.empty(3, int), np.empty(3)
    shape[axes], spacing[axes] = header.spatial_shape, header.spacing
    return shape, spacing, "".join(nib.orientations.aff2axcodes(header.affine))
