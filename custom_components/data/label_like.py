"""Looking at voxels: does a file among the images hold a label map?"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import nibabel as nib
import numpy as np

from custom_components.data.names import Item, files_of
from custom_components.threads import map_in_threads
from custom_components.transfer.read import file_version

# Label maps hold few whole numbers, each in regions. Along the first axis, a voxel of a real label map that is not
# background lies in a run of 5 to 13 equal voxels (organs, gliomas, hippocampus, lesions of multiple sclerosis);
# one of a CT or MR reduced to 8 bits in a run of 1.0 to 1.6, because of noise. Twice that for images enlarged
# twofold.
_MOST_VALUES = 256
_SHORTEST_RUN = 4.0
_WHOLE = 1e-3  # a float round trip leaves labels such as 0.9999999
_FIRST, _CHUNK = 1 << 14, 1 << 18  # voxels read at once; few at first, because they suffice for most images
_SHOWN = 5


def label_like(path: str) -> str:
    """Return why a file looks like a label map, such as ``holds only the values 0, 1, 2``; empty if it does not.

    That is a volume of two values, or of at most 256 whole numbers in runs of at least 4 equal voxels on average,
    without its most frequent value. A constant volume is none, and neither is a file that cannot be read: the
    checks of images report both. The file is read until more values are found, which is the first part of it for
    an image. An unchanged file is read once.
    """
    return _label_like(*file_version(path))


def label_like_files(items: Sequence[Item], progress: bool = False) -> dict[str, str]:
    """Return the images that look like label maps: path -> why.

    Args:
        items: dictionaries with ``image``: a path, or one per channel.
        progress: show a bar on stderr.
    """
    paths = [path for item in items for path in files_of(item)]
    found = map_in_threads(label_like, paths, "looking for label maps", "file", progress=progress)
    return {path: why for path, why in zip(paths, found, strict=True) if why}


@cache
def _label_like(path: str, size: int, changed_ns: int) -> str:
    try:
        return _judge(_chunks(path))
    except Exception:  # nibabel, gzip and zlib raise many classes for damage; the checks of images name the file
        return ""


def _judge(chunks: Iterator[np.ndarray]) -> str:
    voxels: dict[float, int] = {}
    runs: dict[float, int] = {}
    for chunk in chunks:
        starts = np.flatnonzero(np.concatenate(([True], chunk[1:] != chunk[:-1])))
        lengths = np.diff(np.append(starts, len(chunk)))
        values, which = np.unique(chunk[starts], return_inverse=True)
        if len(values) > _MOST_VALUES or not np.all(np.abs(values - np.round(values)) <= _WHOLE):
            return ""
        for value, length, count in zip(
            np.round(values).tolist(),
            np.bincount(which, weights=lengths).tolist(),
            np.bincount(which).tolist(),
            strict=True,
        ):
            voxels[value] = voxels.get(value, 0) + int(length)
            runs[value] = runs.get(value, 0) + count
        seen, run = _foreground(voxels, runs)
        if len(voxels) > _MOST_VALUES or (len(voxels) > 2 and seen > _CHUNK // 4 and run < _SHORTEST_RUN / 2):
            return ""
    if len(voxels) < 2 or (len(voxels) > 2 and run < _SHORTEST_RUN):
        return ""
    shown = ", ".join(f"{value:g}" for value in sorted(voxels)[:_SHOWN])
    more = ", ..." if len(voxels) > _SHOWN else ""
    return f"holds only {len(voxels)} values ({shown}{more}) in regions"


def _foreground(voxels: Mapping[float, int], runs: Mapping[float, int]) -> tuple[int, float]:
    """Return the number of voxels without the most frequent value, and the mean length of their runs."""
    background = max(voxels, key=lambda value: voxels[value])
    seen = sum(voxels.values()) - voxels[background]
    return seen, seen / max(1, sum(runs.values()) - runs[background])


def _chunks(path: str) -> Iterator[np.ndarray]:
    """Yield the stored values of a file in their order, a part at a time; none for values that are not numbers."""
    image: Any = nib.load(path)
    dtype = image.get_data_dtype()
    left = int(np.prod(image.shape, dtype=np.int64))
    if dtype.kind not in "iuf":
        return
    with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as file:
        file.seek(int(image.dataobj.offset))
        at_once = _FIRST
        while left > 0:
            count = min(left, at_once)
            yield np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
            left, at_once = left - count, _CHUNK
