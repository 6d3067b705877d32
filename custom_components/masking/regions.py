"""Regions: cubes of patches, and the targets of HybridMIM's region-level tasks.

A region is the cube of patches under one bottleneck position, so patches are grouped by their *position in space*,
as arXiv 2303.10333 describes. HybridMIM's released code groups runs of n patches in raster order instead, which
are not cubes as soon as a region is wider than one patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from custom_components.masking.grid import Size, check_grid, region_grid, to_3tuple


class RegionTargets(NamedTuple):
    """Targets for each region; R regions of n patches, both in C order.

    Attributes:
        count: long ``(B, R)``, number of masked patches, 0 to n.
        position: bool ``(B, R, n)``, which of them are masked.
        patch_valid: bool ``(B, R, n)``, which patches hold a valid voxel.
        region_valid: bool ``(B, R)``, which regions hold a valid patch.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count
    position: Tensor
    patch_valid: Tensor
    region_valid: Tensor


def group_regions(t: Tensor, patches_per_region: Size) -> Tensor:
    """Group a patch grid by region: ``(B, 1, gd, gh, gw)`` to ``(B, R, n)``, any dtype.

    Regions are numbered in C order of the region grid, patches in C order inside their region.

    Raises:
        ValueError: when the grid is not a multiple of the region.
    """
    check_grid(t, "grid")
    (rd, rh, rw), (kd, kh, kw) = to_3tuple(patches_per_region), region_grid(t.shape[2:], patches_per_region)
    # axes: B, region d, patch d, region h, patch h, region w, patch w -> regions first, then their patches
    split = t.reshape(t.shape[0], kd, rd, kh, rh, kw, rw).permute(0, 1, 3, 5, 2, 4, 6)
    return split.reshape(t.shape[0], kd * kh * kw, rd * rh * rw)


def ungroup_regions(t: Tensor, grid: Sequence[int], patches_per_region: Size) -> Tensor:
    """Undo `group_regions`: ``(B, R, n)`` to ``(B, 1, gd, gh, gw)`` with ``grid = (gd, gh, gw)``.

    Raises:
        ValueError: when the grid is not a multiple of the region.
    """
    (rd, rh, rw), (kd, kh, kw) = to_3tuple(patches_per_region), region_grid(grid, patches_per_region)
    # axes: B, region d h w, patch d h w -> region and patch of the same axis side by side
    split = t.reshape(t.shape[0], kd, kh, kw, rd, rh, rw).permute(0, 1, 4, 2, 5, 3, 6)
    return split.reshape(t.shape[0], 1, kd * rd, kh * rh, kw * rw)


def region_targets(mask: Tensor, valid_grid: Tensor, patches_per_region: Size) -> RegionTargets:
    """Compute the targets of the region tasks from a mask.

    Args:
        mask: bool ``(B, 1, gd, gh, gw)``, True = masked.
        valid_grid: bool, same shape, True where a patch holds a valid voxel.
        patches_per_region: patches along each axis of a region.

    Returns:
        The targets; a patch without a valid voxel counts as not masked.

    Raises:
        ValueError: when the shapes differ, or the grid is not a multiple of the region.
    """
    if mask.shape != valid_grid.shape:
        raise ValueError(f"mask {tuple(mask.shape)} and valid_grid {tuple(valid_grid.shape)} differ in shape")
    patch_valid = group_regions(valid_grid, patches_per_region).bool()
    position = group_regions(mask, patches_per_region).bool() & patch_valid
    return RegionTargets(position.sum(dim=2), position, patch_valid, patch_valid.any(dim=2))
