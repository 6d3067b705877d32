"""One way to draw masks with its parameters: what they must be, and the draw itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from typing import NamedTuple

import numpy as np

from custom_components.masking.blocks import draw_blocks
from custom_components.masking.foreground import ShareGrid, check_weight, draw_foreground
from custom_components.masking.grid import (
    Ratio,
    check_ratio,
    patches_per_block,
    patches_per_region,
    ratio_range,
    to_3tuple,
)
from custom_components.masking.sampling import BoolGrid, check_two_level, draw_two_level, draw_uniform

MODES = ("two_level", "uniform", "block", "foreground")
"""Ways to draw that :class:`MaskSampler` knows."""


class Patches(NamedTuple):
    """What a draw has to know of a sample's patches.

    Attributes:
        valid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        foreground: float64, same shape, share of foreground in each; None for modes that do not ask.
    """

    valid: BoolGrid
    foreground: ShareGrid | None = None


class MaskSampler:
    """A draw with its parameters, checked; picklable, so that workers can be spawned.

    What belongs to another mode is not looked at, so that a config can change ``mode`` alone.

    Args:
        mode: one of ``MODES``.
        mask_ratio: share of the valid patches to mask, in [0, 1], or a pair [low, high] that it is drawn from.
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region ("two_level").
        region_ratio: share of the regions that hold the masked patches, in [0, 1] ("two_level").
        block_size: voxels along each axis of the largest block ("block").
        foreground_above: intensity over which a voxel is foreground ("foreground").
        foreground_weight: how many times likelier a patch of foreground is drawn than one of background
            ("foreground").

    Attributes:
        ratios: the lowest and the highest ``mask_ratio``, equal where it is a number.
        foreground_above: None where the mode does not ask for foreground.

    Raises:
        ValueError: for an unknown mode, and for parameters of it that are missing, out of range, or sizes that
            are no multiples of the patch.
    """

    def __init__(
        self,
        mode: str,
        mask_ratio: Ratio,
        patch_size: int | Sequence[int],
        region_size: int | Sequence[int] | None = None,
        region_ratio: float | None = None,
        block_size: int | Sequence[int] | None = None,
        foreground_above: float = 0.0,
        foreground_weight: float | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; found {mode!r}.")
        self.ratios = ratio_range(mask_ratio, "mask_ratio")
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.foreground_above = foreground_above if mode == "foreground" else None
        self._check_grid: Callable[..., None] | None = None
        self._draw: Callable[..., BoolGrid] = draw_uniform
        if mode == "two_level":
            self._set_two_level(region_size, region_ratio)
        elif mode == "block":
            if block_size is None:
                raise ValueError("mode 'block' needs block_size, found None.")
            self._draw = partial(draw_blocks, patches_per_block=patches_per_block(block_size, patch_size))
        elif mode == "foreground":
            if foreground_weight is None:
                raise ValueError("mode 'foreground' needs foreground_weight, found None.")
            _check_threshold(foreground_above)
            check_weight(foreground_weight)
            self._draw = partial(draw_foreground, weight=foreground_weight)

    def _set_two_level(self, region_size: int | Sequence[int] | None, region_ratio: float | None) -> None:
        if region_size is None or region_ratio is None:
            raise ValueError(
                f"mode 'two_level' needs region_size and region_ratio, found {region_size} and {region_ratio}."
            )
        check_ratio(region_ratio, "region_ratio")
        if self.ratios[0] == 0 < self.ratios[1]:
            # 0 itself goes with every region_ratio, what lies just above it with none
            raise ValueError(
                f"mask_ratio {list(self.ratios)} must start above 0 in mode 'two_level', where each of the regions"
                " that region_ratio asks for holds a masked patch."
            )
        within = patches_per_region(region_size, self.patch_size)
        self._check_grid = partial(check_two_level, region_ratio=region_ratio, patches_per_region=within)
        self._draw = partial(draw_two_level, region_ratio=region_ratio, patches_per_region=within)

    def check_grid(self, grid: Sequence[int]) -> None:
        """Refuse a grid of patches ``(gd, gh, gw)`` on which not every one of the ratios can be had.

        Raises:
            ValueError: see :func:`check_two_level`; the other modes take every grid.
        """
        if self._check_grid is not None:
            for ratio in self.ratios:
                self._check_grid(grid, ratio)

    def draw_ratio(self, rng: np.random.RandomState) -> float:
        """Draw a ratio uniformly from low to high; where the two are equal nothing is drawn."""
        low, high = self.ratios
        return low if low == high else float(rng.uniform(low, high))

    @property
    def middle_ratio(self) -> float:
        """The mean of the lowest and the highest ratio; a number itself."""
        low, high = self.ratios
        return low if low == high else (low + high) / 2

    def draw(self, patches: Patches, ratio: float, rng: np.random.RandomState) -> BoolGrid:
        """Draw a mask, bool ``(gd, gh, gw)``, of exactly ``round(ratio * valid patches)`` patches.

        Raises:
            ValueError: when the ratio lies outside [0, 1] or cannot be had on this grid.
        """
        self.check_grid(patches.valid.shape)
        if self.foreground_above is None:
            return self._draw(patches.valid, ratio, rng=rng)
        return self._draw(patches.valid, ratio, share=patches.foreground, rng=rng)


def _check_threshold(above: float) -> None:
    if isinstance(above, bool) or not isinstance(above, (int, float)) or not isfinite(above):
        raise ValueError(f"foreground_above must be a number, an intensity; found {above!r}.")
