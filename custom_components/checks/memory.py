"""Checks: does the cache fit into memory, and do the weights fit on the disk?"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil
from torch import nn

from custom_components.checks.folders import check_folder
from custom_components.checks.volumes import image_header
from custom_components.data.names import Item, first_image
from custom_components.machine import readable

_BYTES_PER_VOXEL = 4  # transforms return float32
# model.pt, pretext.pt, the best of each, and resume.pt with two moments per weight.
_WEIGHT_COPIES_ON_DISK = 8


class CacheMemory:
    """The cached volumes must fit into the free memory.

    Args:
        items: the cases.
        channels: names of the image's channels.
        spacing: mm per axis that volumes are resampled to; None: their own.
        cache_rate: cached share of the cases, in [0, 1].
        validation_items: the validation cases; None: none.
    """

    def __init__(
        self,
        items: Sequence[Item],
        channels: Sequence[str],
        spacing: Sequence[float] | None,
        cache_rate: float,
        validation_items: Sequence[Item] | None = None,
    ) -> None:
        self.items, self.validation_items = items, validation_items
        self.channels, self.spacing, self.cache_rate = channels, spacing, cache_rate

    def __call__(self) -> str:
        """Return the sizes; raise ValueError saying what to change."""
        needed, available = self.needed_bytes(), free_memory()
        if needed > available:
            raise ValueError(
                f"the cache would take {readable(needed)} of memory, {readable(available)} are free;"
                f" lower cache_rate to {self.cache_rate * available / needed:.2g}"
            )
        return f"cache {readable(needed)} of {readable(available)} free"

    def needed_bytes(self) -> int:
        """Return the bytes that the caches will hold: voxels x 4 x (channels + label) x cases x rate.

        Raises:
            ValueError: if ``spacing`` is not three positive lengths.
        """
        spacing, total = self.spacing, 0.0
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise ValueError(f"spacing is {list(spacing)}; allowed: three lengths above 0, in mm")
        for item in [*self.items, *(self.validation_items or [])]:
            header = image_header(first_image(item))
            voxels = float(math.prod(header.spatial_shape))
            if spacing is not None:
                voxels *= math.prod(header.spacing) / math.prod(spacing)
            total += voxels * _BYTES_PER_VOXEL * (len(self.channels) + ("label" in item))
        return round(total * self.cache_rate)


def free_memory() -> int:
    """Return the bytes of memory this process may still take: free on the machine, or allowed by its container."""
    free = int(psutil.virtual_memory().available)
    try:  # in a container (cgroup v2) its own limit counts, not the machine's
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return free
    return min(free, max(0, limit - used))


class DiskSpace:
    """The folder of the weights must be writable and have room for them.

    Args:
        network: the network whose weights are saved.
        ckpt_dir: the folder; it need not exist yet.
    """

    def __init__(self, network: nn.Module, ckpt_dir: str) -> None:
        self.network, self.ckpt_dir = network, ckpt_dir

    def __call__(self) -> None:
        """Raise ValueError naming the folder and both sizes."""
        needed = _WEIGHT_COPIES_ON_DISK * sum(p.numel() * p.element_size() for p in self.network.parameters())
        folder = check_folder("ckpt_dir", self.ckpt_dir)
        free = shutil.disk_usage(folder).free
        if needed > free:
            sizes = f"needs {readable(needed)}, {readable(free)} are free"
            raise ValueError(f"ckpt_dir {self.ckpt_dir} {sizes}; choose another disk")
