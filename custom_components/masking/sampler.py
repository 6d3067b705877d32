"""The mask sampler: one object that says how masks are drawn, checks it once, and draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from custom_components.masking.blocks import draw_blocks
from custom_components.masking.foreground import ShareGrid, draw_foreground
from custom_components.masking.grid import Size, Triple, divide, patch_grid, patches_per_region, to_3tuple
from custom_components.masking.sampling import BoolGrid, check_two_level, draw_two_level, draw_uniform
from custom_components.number_checks import check_number, is_number

MODES = ("two_level", "uniform", "block", "foreground")
"""Ways to draw masks that `MaskSampler` knows."""


class MaskSampler:
    """How masks are drawn: a mode and its parameters, under the names of the config keys.

    Parameters are checked here, once; each new grid is checked once. Parameters of other modes are ignored, so
    that a config can change ``mask_mode`` alone. Picklable, for spawned workers.

    Args:
        mask_mode: "uniform" (SimMIM, MAE), "two_level" (HybridMIM, arXiv 2303.10333), "block" (union of random
            boxes) or "foreground" (weighted sampling that prefers foreground patches).
        mask_ratio: share of the valid patches to mask, in [0, 1], or a pair [low, high] to draw it from.
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region; needed by "two_level".
        region_ratio: share of the regions that hold the masked patches, in [0, 1]; needed by "two_level".
        block_size: voxels along each axis of the largest box; needed by "block".
        foreground_above: intensity above which a voxel is foreground, in the unit of the network's input; read by
            "foreground".
        foreground_weight: sampling weight of an all-foreground patch relative to an empty one, above 0; needed by
            "foreground".

    Attributes:
        ratios: the lowest and the highest mask ratio; equal unless ``mask_ratio`` is a pair.
        foreground_above: None unless the mode reads the image.

    Raises:
        ValueError: for an unknown mode, and for a parameter of the mode that is missing, out of range, or a size
            that is not a multiple of the patch.
    """

    def __init__(
        self,
        mask_mode: str = "uniform",
        mask_ratio: float | Sequence[float] = 0.75,
        patch_size: Size = 16,
        *,
        region_size: Size | None = None,
        region_ratio: float | None = None,
        block_size: Size | None = None,
        foreground_above: float = 0.0,
        foreground_weight: float | None = None,
    ) -> None:
        if mask_mode not in MODES:
            raise ValueError(f"mask_mode is {mask_mode!r}; allowed: {', '.join(MODES)}")
        self.mask_mode = mask_mode
        self.ratios = _ratio_range(mask_ratio)
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.region_size: Triple | None = None
        self.block_size: Triple | None = None
        self.foreground_above: float | None = None
        self._check: Callable[[Sequence[int], float], None] | None = None
        self._draw: Callable[..., BoolGrid] = draw_uniform
        self._checked_grids: set[tuple[int, ...]] = set()
        if mask_mode == "two_level":
            self._use_regions(self._needed("region_size", region_size), self._needed("region_ratio", region_ratio))
        elif mask_mode == "block":
            self.block_size = to_3tuple(self._needed("block_size", block_size), "block_size")
            within = divide(self.block_size, self.patch_size, "block_size", "patch_size")
            self._draw = partial(draw_blocks, patches_per_block=within)
        elif mask_mode == "foreground":
            weight = self._needed("foreground_weight", foreground_weight)
            check_number(weight, "foreground_weight", above=0)
            check_number(foreground_above, "foreground_above")
            self.foreground_above = foreground_above
            self._draw = partial(draw_foreground, weight=weight)

    def _needed(self, name: str, value: Any) -> Any:
        if value is None:
            raise ValueError(f"{name} is missing; mask_mode {self.mask_mode!r} needs it")
        return value

    def _use_regions(self, region_size: Size, region_ratio: float) -> None:
        check_number(region_ratio, "region_ratio", at_least=0, at_most=1)
        if self.ratios[0] == 0 < self.ratios[1]:
            # Ratio 0 fits every region_ratio, but a ratio just above 0 fits none: each region holds a masked
            # patch.
            raise ValueError(f"mask_ratio is {list(self.ratios)}; mask_mode 'two_level' needs a low end above 0")
        self.region_size = to_3tuple(region_size, "region_size")
        regions: dict[str, Any] = {
            "region_ratio": region_ratio,
            "patches_per_region": patches_per_region(self.region_size, self.patch_size),
        }
        self._check, self._draw = partial(check_two_level, **regions), partial(draw_two_level, **regions)

    def check_grid(self, grid: Sequence[int]) -> None:
        """Raise unless every mask ratio is feasible on a grid of patches ``(gd, gh, gw)``.

        The result is kept, so that each grid is checked once.

        Raises:
            ValueError: see `check_two_level`; the other modes take every grid.
        """
        if self._check is None or tuple(grid) in self._checked_grids:
            return
        for ratio in self.ratios:
            self._check(grid, ratio)
        self._checked_grids.add(tuple(grid))

    def check_crop(self, roi_size: Size) -> None:
        """Raise unless masks can be drawn on crops of ``roi_size`` voxels.

        Raises:
            ValueError: naming the sizes that do not fit, or the ratios that are not feasible.
        """
        roi = to_3tuple(roi_size, "roi_size")
        grid = patch_grid(roi, self.patch_size, "roi_size")
        if self.region_size is not None:
            divide(roi, self.region_size, "roi_size", "region_size")
        if self.block_size is not None and any(b > side for b, side in zip(self.block_size, roi, strict=True)):
            raise ValueError(f"block_size {self.block_size} is larger than roi_size {roi}")
        self.check_grid(grid)

    @property
    def middle_ratio(self) -> float:
        """The mean of the lowest and the highest ratio."""
        low, high = self.ratios
        return low if low == high else (low + high) / 2

    def draw_ratio(self, rng: np.random.RandomState) -> float:
        """Draw a ratio uniformly from low to high; draws nothing when they are equal."""
        low, high = self.ratios
        return low if low == high else float(rng.uniform(low, high))

    def draw(
        self, valid: BoolGrid, ratio: float, rng: np.random.RandomState, foreground: ShareGrid | None = None
    ) -> BoolGrid:
        """Draw a mask of exactly ``round(ratio * valid patches)`` patches.

        Args:
            valid: bool ``(gd, gh, gw)``, True where a patch may be masked.
            ratio: one of this sampler's ratios.
            rng: source of randomness.
            foreground: share of foreground in each patch, same shape; needed by "foreground".

        Returns:
            bool ``(gd, gh, gw)``, True = masked.

        Raises:
            ValueError: see `check_grid`.
        """
        self.check_grid(valid.shape)
        share: dict[str, Any] = {} if self.foreground_above is None else {"share": foreground}
        return self._draw(valid, ratio, rng=rng, **share)


def _ratio_range(ratio: float | Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest mask ratio."""
    ends: list[Any] = list(ratio) if isinstance(ratio, (list, tuple)) else [ratio, ratio]
    if len(ends) != 2 or not all(is_number(end) for end in ends) or not 0 <= ends[0] <= ends[1] <= 1:
        raise ValueError(
            f"mask_ratio is {ratio!r}; allowed: a number in [0, 1], or a pair [low, high] of them with low <= high"
        )
    return ends[0], ends[1]
