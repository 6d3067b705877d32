"""Resampling to a spacing for training: MONAI's grid, computed one axis at a time, where the foreground is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.spatial.array import Spacing
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple_rep
from scipy.ndimage import affine_transform

from custom_components.data.foreground import Box, foreground_box

MODES = ("bilinear", "nearest")
_UNCHANGED = 1e-3  # MONAI leaves a volume as it is if its affine changes by less
_LARGEST_SHEAR = 1e-3  # voxels; headers round their affines


class Grid(NamedTuple):
    """Where the voxels of a resampled volume lie in the original one.

    Attributes:
        step: distance of two resampled voxels along each axis, in original voxels; both grids begin at 0.
        shape: number of resampled voxels along each axis.
        affine: (4, 4), resampled voxel to mm.
    """

    step: np.ndarray
    shape: tuple[int, ...]
    affine: np.ndarray


class AxisSpacingd(MapTransform, InvertibleTransform):
    """MONAI's ``Spacingd``, several times faster, and without an inverse.

    Grid and affine are those of ``Spacingd`` with its defaults. Values are computed in float64 and stored as
    float32. They differ from ``Spacingd``'s by rounding only; between two zeros they are exactly 0. A label
    halfway between two voxels takes the even one, where rounding errors decide in ``Spacingd``. Volumes with
    sheared axes are handed to ``Spacing``.

    With ``is_foreground``, only the part of the grid that foreground can reach is computed, so that a later
    ``CropForegroundd`` finds the same box as in the whole volume. The criterion must be one that interpolation
    between two background voxels cannot meet, such as a threshold.

    Args:
        keys: images and label maps ``(C, X, Y, Z)`` of one grid, with an affine.
        pixdim: mm along the three axes.
        mode: ``bilinear`` or ``nearest``, one for all keys or one for each.
        source_key: the image in which foreground is looked for.
        is_foreground: returns where an image is foreground, boolean, same shape, see `stored_foreground`;
            None: nothing is left out.
        allow_missing_keys: whether missing keys are ignored.

    Raises:
        ValueError: for another mode.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float],
        mode: str | Sequence[str] = "bilinear",
        source_key: str = "image",
        is_foreground: Callable[[Any], Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.modes = ensure_tuple_rep(mode, len(self.keys))
        if unknown := [name for name in self.modes if name not in MODES]:
            raise ValueError(f"mode is {unknown[0]!r}; allowed: {', '.join(MODES)}")
        self.spacing = {name: Spacing(pixdim, mode=name) for name in MODES}
        self.source_key, self.is_foreground = source_key, is_foreground

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the volumes resampled."""
        sample = dict(data)
        box = None
        if self.is_foreground is not None:
            box = foreground_box(self.is_foreground(data[self.source_key]))
        for key, mode in self.key_iterator(sample, self.modes):
            sample[key] = self._resample(data[key], mode, box)
        return sample

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Raise NotImplementedError."""
        raise NotImplementedError("AxisSpacingd has no inverse; use Spacingd where a prediction is inverted")

    def _resample(self, image: MetaTensor, mode: str, box: Box | None) -> Any:
        grid = self._grid(image)
        if grid is None:
            return self.spacing[mode](image)
        ranges = [(0, size) for size in grid.shape]
        if box is not None:
            ranges = [_reached(*axis) for axis in zip(box, grid.step, grid.shape, image.shape[1:], strict=True)]
        values = _interpolate(image.numpy(), grid.step, ranges, mode)
        out: Any = MetaTensor(torch.from_numpy(values)).copy_meta_from(image)
        shift = np.eye(4)
        shift[:3, 3] = [low for low, _ in ranges]
        out.affine = torch.as_tensor(grid.affine @ shift)
        return out

    def _grid(self, image: MetaTensor) -> Grid | None:
        """Return MONAI's grid for an image; None if its axes are not those of the image."""
        source, size = image.affine.numpy().astype(np.float64), np.array(image.shape[1:])
        empty: Any = MetaTensor(torch.zeros(()).expand(1, *image.shape[1:]), affine=torch.as_tensor(source))
        planned: Any = self.spacing["bilinear"](empty, lazy=True)
        target, shape = planned.peek_pending_affine().numpy(), planned.peek_pending_shape()
        between = np.linalg.solve(source, target)
        if tuple(shape) == tuple(size) and np.allclose(between, np.eye(4), atol=_UNCHANGED):
            return Grid(np.ones(3), tuple(size), source)
        step = np.diag(between)[:3]
        others = np.abs(between[:3] - np.diag(np.diag(between))[:3])
        if not (step > 0).all() or (others @ [*shape, 1]).max() > _LARGEST_SHEAR:
            return None
        return Grid(step, tuple(int(n) for n in shape), target)


def _reached(box: tuple[int, int], step: float, size: int, original_size: int) -> tuple[int, int]:
    """Return the range of resampled voxels along an axis that read any voxel of the box."""
    first, end = box
    low = max(0, int((first - 1) / step))
    # Resampled voxels behind the last original one repeat it.
    high = size if end == original_size else min(size, int(np.ceil(end / step)) + 1)
    return min(low, size - 1), high


def _interpolate(values: np.ndarray, step: np.ndarray, ranges: Box, mode: str) -> np.ndarray:
    """Return values ``(C, X, Y, Z)`` at every ``step``-th voxel within ranges of resampled voxels."""
    if mode == "nearest" or (step == 1).all():
        places = [
            np.rint(np.arange(low, high) * distance).astype(int).clip(0, size - 1)
            for (low, high), distance, size in zip(ranges, step, values.shape[1:], strict=True)
        ]
        return np.stack([channel[np.ix_(*places)] for channel in values])
    out = np.empty((len(values), *(high - low for low, high in ranges)), np.float32)
    offset = step * [low for low, _ in ranges]
    for channel, result in zip(values, out, strict=True):
        # One step per axis is scipy's fast way.
        affine_transform(channel, step, offset, result.shape, result, order=1, mode="nearest", prefilter=False)
    return out
