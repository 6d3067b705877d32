"""What a run will take of memory and disk, said before it starts rather than by the kernel."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from custom_components.data.layouts import Item
from custom_components.data.nifti import Header, read_header

_BYTES_PER_VOXEL = 4  # transforms leave float32


def estimate_cache_bytes(
    items: Sequence[Item],
    spacing_mm: Sequence[float] | None,
    channels: int,
    cache_rate: float,
    ranks: int = 1,
    headers: Sequence[Header] | None = None,
) -> int:
    """Bytes that a CacheDataset will hold: voxels x 4 x (channels + label) x cases x rate x ranks.

    Args:
        items: the cases; one with a ``label`` counts a channel more.
        spacing_mm: spacing the volumes are resampled to, mm per axis; None: their own.
        channels: image channels.
        cache_rate: cached share of the cases, in [0, 1].
        ranks: processes on this machine that each cache the whole list (1 where the list is partitioned).
        headers: the items' headers, where they were read already.

    Raises:
        ValueError: if ``cache_rate`` is outside [0, 1] or ``spacing_mm`` is not positive.
    """
    if not 0 <= cache_rate <= 1:
        raise ValueError(f"cache_rate is {cache_rate}; allowed: 0 to 1")
    if spacing_mm is not None and (len(spacing_mm) != 3 or min(spacing_mm) <= 0):
        raise ValueError(f"spacing is {list(spacing_mm)}; allowed: three lengths above 0, in mm")
    if cache_rate == 0 or not items:
        return 0
    total = 0.0
    for number, item in enumerate(items):
        image = item["image"]
        header = headers[number] if headers else read_header(image if isinstance(image, str) else image[0])
        voxels = float(math.prod(header.spatial_shape))
        if spacing_mm is not None:
            voxels *= math.prod(header.spacing) / math.prod(spacing_mm)
        total += voxels * _BYTES_PER_VOXEL * (channels + ("label" in item))
    return round(total * cache_rate * ranks)


def free_memory() -> int:
    """Bytes of memory this process may still take: what the machine has free, or its container allows."""
    free = int(psutil.virtual_memory().available)
    try:  # in a container (cgroup v2) the limit that kills is not the machine's
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return free
    return min(free, max(0, limit - used))


def check_memory(needed: int, available: int | None = None) -> None:
    """Refuse a cache that does not fit.

    Args:
        needed: bytes, see :func:`estimate_cache_bytes`.
        available: bytes; default: what is free now.

    Raises:
        ValueError: saying what to change.
    """
    available = free_memory() if available is None else available
    if needed > available:
        raise ValueError(
            f"the cache would take {readable(needed)} of memory,"
            f" {readable(available)} are free; lower cache_rate"
            f" (a share of {available / needed:.2g} of the present one fits)"
        )


def check_disk(path: str | os.PathLike[str], needed: int) -> None:
    """Refuse an output folder that cannot be written or has too little space.

    Args:
        path: the folder; it need not exist yet.
        needed: bytes.

    Raises:
        ValueError: naming the folder and both sizes.
    """
    folder = Path(os.path.abspath(path))
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        found = "is not writable" if folder.is_dir() else "is a file"
        raise ValueError(f"output_dir {path} cannot be made: {folder} {found}")
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"output_dir {path} needs {readable(needed)}, {readable(free)} are free; choose another disk"
        )


def readable(size: float) -> str:
    """Bytes as text: ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
