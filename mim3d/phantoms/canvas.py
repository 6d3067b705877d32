"""A canvas of intensities and labels, on which shapes are painted one by one with partial volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .fields import occupancy, smooth_field
from .shapes import Floats, Part, Pose, distance, posed_box
from .volume_grid import Grid

Region = tuple[slice, slice, slice]
EVERYWHERE: Region = (slice(None), slice(None), slice(None))


class Canvas:
    """Intensities ``(C, X, Y, Z)`` and labels ``(X, Y, Z)`` of one case.

    Args:
        grid: the voxel grid in world mm.
        channels: number of sequences.
        bend: parts of the smooth deformation of the whole body: (distance of lattice points, amplitude), both mm.
        scale: size of this body relative to the tables, along x, y and z.
        rng: source of the deformation.
    """

    def __init__(
        self,
        grid: Grid,
        channels: int,
        bend: tuple[tuple[float, float], ...],
        scale: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> None:
        self.grid = grid
        self.values = np.zeros((channels, *grid.shape), np.float32)
        self.labels = np.zeros(grid.shape, np.uint8)
        # Width of a voxel in body mm. A surface's partial volume is spread over this width.
        self.width = float(np.mean(grid.spacing)) / float(np.mean(scale))
        self._axes = [axis / s for axis, s in zip(grid.axes, scale, strict=True)]
        self.body = grid.points() / np.asarray(scale, np.float32)[:, None, None, None]
        self._reach = np.zeros(3)
        for k in range(3):
            move = np.zeros(grid.shape, np.float32)
            for knot, amplitude in bend:
                move += amplitude * smooth_field(grid.axes, knot, rng)
            self.body[k] += move
            self._reach[k] = float(np.abs(move).max())

    def box(self, parts: tuple[Part, ...], pose: Pose, margin: float) -> Region:
        """Return the voxels that ``parts`` can touch after pose and deformation."""
        low, high = posed_box(parts, pose)
        ends = []
        for k, axis in enumerate(self._axes):
            lo, hi = low[k] - self._reach[k] - margin, high[k] + self._reach[k] + margin
            ends.append(slice(int(np.searchsorted(axis, lo)), int(np.searchsorted(axis, hi))))
        return ends[0], ends[1], ends[2]

    def depth(
        self,
        parts: tuple[Part, ...],
        pose: Pose,
        region: Region,
        blend: float = 0.0,
        cuts: tuple[Part, ...] = (),
    ) -> Floats:
        """Return the signed distance (mm) to posed parts, for the voxels of ``region``."""
        own = pose.to_table(self.body[(slice(None), *region)])
        return (distance(parts, own, blend, cuts) * pose.grow).astype(np.float32)

    def share(self, depth: Floats) -> Floats:
        """Return the share of each voxel that lies inside a surface, from the signed distance (mm) to it."""
        return occupancy(depth, self.width)

    def paint(self, region: Region, share: Floats, value: NDArray[np.float32], label: int | None) -> None:
        """Mix ``value`` into the region by ``share``, and set ``label`` where the share is at least one half.

        Args:
            region: the voxels.
            share: ``(x, y, z)`` between 0 and 1.
            value: ``(C,)`` or ``(C, x, y, z)`` intensities.
            label: class of the painted structure; None keeps the classes.
        """
        target = self.values[(slice(None), *region)]
        value = np.asarray(value, np.float32)
        if value.ndim == 1:
            value = value[:, None, None, None]
        target += share * (value - target)
        if label is not None:
            self.labels[region][share >= 0.5] = label

    def add(self, make: Callable[[], Floats]) -> None:
        """Add a new field to every channel; ``make`` draws one."""
        for channel in self.values:
            channel += make()
