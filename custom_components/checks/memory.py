"""Checks: does the cache fit into memory, and do the weights fit on the disk?"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from monai.transforms.compose import Compose
from torch import nn

from custom_components.checks.folders import check_folder
from custom_components.checks.volumes import image_header
from custom_components.data.labelled import spread_evenly
from custom_components.data.names import Item, first_image
from custom_components.machine import readable

_BYTES_PER_VOXEL = 4  # transforms return float32
_BYTES_PER_INDEX = 8
_MEASURED_CASES = 3
# model.pt and pretext.pt, and resume.pt twice, old and new: weights, two moments and the moving average.
_WEIGHT_COPIES_ON_DISK = 10


class CacheMemory:
    """The share of the volumes that is cached, and the check that the cache fits into the free memory.

    The headers give an upper bound: all voxels after resampling. Only if that is too much, some cases are prepared
    to measure them, because the crop to the foreground often removes half of a volume.

    Args:
        items: the cases.
        channels: names of the image's channels.
        spacing: mm per axis that volumes are resampled to; None: their own.
        cache_rate: cached share of the cases, in [0, 1]; None: as many as take half of the free memory.
        validation_items: the validation cases; None: none.
        transforms: what prepares a case before it is cached; None: the upper bound counts.
        index_voxels: voxels of a labelled case whose indices are cached, at most.
    """

    def __init__(
        self,
        items: Sequence[Item],
        channels: Sequence[str],
        spacing: Sequence[float] | None,
        cache_rate: float | None = None,
        validation_items: Sequence[Item] | None = None,
        transforms: Sequence[Callable[..., Any]] | None = None,
        index_voxels: int = 0,
    ) -> None:
        self.items, self.validation_items = items, validation_items
        self.channels, self.spacing, self.cache_rate = channels, spacing, cache_rate
        self.transforms, self.index_voxels = transforms, index_voxels

    def __call__(self) -> str:
        """Return the sizes; raise ValueError saying what to change."""
        available = free_memory()
        needed = self._bytes_of(self.rate, available)
        if needed > available:
            raise ValueError(
                f"the cache would take {readable(needed)} of memory, {readable(available)} are free;"
                f" lower cache_rate to {self.rate * available / needed:.2g}"
            )
        share = "" if self.rate == 1 else f" for {self.rate:.0%} of the volumes"
        return f"cache at most {readable(needed)}{share}, {readable(available)} free"

    @cached_property
    def rate(self) -> float:
        """The cached share of the cases, in [0, 1]; decided once, before the cache takes its memory."""
        if self.cache_rate is not None:
            return self.cache_rate
        room = free_memory() / 2
        needed = self._bytes_of(1.0, room)
        return 1.0 if needed <= room else room / needed

    def _bytes_of(self, rate: float, enough: float) -> int:
        """Return the bytes of a share of the cases; an upper bound if that is at most ``enough``."""
        bound = self.upper_bound() * rate
        return round(bound if bound <= enough else bound * self.measured_share)

    def upper_bound(self) -> int:
        """Return the bytes of all cases without a crop.

        That is voxels x (4 x channels + 1 for the label or validity) + 8 for each index of a labelled voxel.

        Raises:
            ValueError: if ``spacing`` is not three positive lengths.
        """
        return sum(self._bound(item, self.index_voxels) for item in self._cases)

    @cached_property
    def measured_share(self) -> float:
        """The share of the upper bound that some cases really take, spread evenly over all cases; at most 1."""
        tried = spread_evenly(self._cases, _MEASURED_CASES) if self.transforms else []
        if not tried:
            return 1.0
        prepare = Compose(self.transforms)
        return min(1.0, sum(_bytes(prepare(dict(item))) for item in tried) / sum(map(self._bound, tried)))

    @property
    def _cases(self) -> list[Item]:
        return [*self.items, *(self.validation_items or [])]

    def _bound(self, item: Item, index_voxels: int = 0) -> int:
        spacing = self.spacing
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise ValueError(f"spacing is {list(spacing)}; allowed: three lengths above 0, in mm")
        header = image_header(first_image(item))
        voxels = float(math.prod(header.spatial_shape))
        if spacing is not None:
            voxels *= math.prod(header.spacing) / math.prod(spacing)
        indices = min(voxels, index_voxels) * _BYTES_PER_INDEX if "label" in item else 0
        return round(voxels * (_BYTES_PER_VOXEL * len(self.channels) + 1) + indices)


def _bytes(sample: Mapping[Hashable, Any]) -> int:
    return sum(value.nbytes for value in sample.values() if hasattr(value, "nbytes"))


def free_memory() -> int:
    """Return the bytes of memory this process may still take: free on the machine, or allowed by its container."""
    free = int(psutil.virtual_memory().available)
    try:  # in a container (cgroup v2) its own limit counts, not the machine's
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8"))
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
