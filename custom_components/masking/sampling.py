"""Uniform and two-level masking, on the boolean grid of one sample.

Pure functions of their arguments and of the given random state. Both mask exactly ``round(mask_ratio * valid
patches)`` patches and never one without a valid voxel. Parameters are checked once, by ``MaskSampler``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from custom_components.masking.grid import masked_count, region_grid, to_3tuple
from custom_components.masking.regions import group_regions, ungroup_regions

BoolGrid = NDArray[np.bool_]


def draw_uniform(valid_grid: BoolGrid, mask_ratio: float, rng: np.random.RandomState) -> BoolGrid:
    """Draw patches uniformly without replacement (SimMIM, MAE: arXiv 2111.09886, 2111.06377).

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        rng: source of randomness.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.
    """
    places = np.flatnonzero(valid_grid)
    mask = np.zeros(valid_grid.shape, dtype=bool)
    mask.flat[rng.permutation(places)[: masked_count(mask_ratio, places.size)]] = True
    return mask


def check_two_level(
    grid: Sequence[int], mask_ratio: float, region_ratio: float, patches_per_region: int | Sequence[int]
) -> None:
    """Raise when no mask on a fully valid grid can have both ratios.

    Each of ``round(region_ratio * regions)`` regions holds between one masked patch and all of its patches, so
    the total must lie between these. ``mask_ratio`` 0 masks nothing and fits any ``region_ratio``.

    Args:
        grid: patches along each axis, ``(gd, gh, gw)``.
        mask_ratio: share of all patches to mask, in [0, 1].
        region_ratio: share of the regions that hold them, in [0, 1].
        patches_per_region: patches along each axis of a region.

    Raises:
        ValueError: when infeasible, naming both ratios and the counts; or when the grid is not a multiple of
            the region.
    """
    regions = int(np.prod(region_grid(grid, patches_per_region)))
    each = int(np.prod(to_3tuple(patches_per_region)))
    total, touched = masked_count(mask_ratio, regions * each), masked_count(region_ratio, regions)
    if mask_ratio > 0 and not touched <= total <= touched * each:
        raise ValueError(
            f"mask_ratio {mask_ratio} and region_ratio {region_ratio} do not go together on a grid of "
            f"{tuple(grid)} patches: {total} of {regions * each} patches are to be masked in {touched} of "
            f"{regions} regions of {each} patches, which can hold {touched} to {touched * each}"
        )


def draw_two_level(
    valid_grid: BoolGrid,
    mask_ratio: float,
    region_ratio: float,
    patches_per_region: int | Sequence[int],
    rng: np.random.RandomState,
) -> BoolGrid:
    """Draw regions, then patches inside them (HybridMIM's two-level masking, arXiv 2303.10333).

    Level one picks ``round(region_ratio * valid regions)`` regions and shares the total over them: each gets one
    patch, the rest is drawn without replacement from the patches they have left. Level two draws which patches.
    When only part of the grid is valid and the rounded numbers do not fit, the number of regions changes by the
    least that fits, and as few of the drawn regions as possible are exchanged.

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        region_ratio: share of the valid regions that hold them, in [0, 1]; feasible with ``mask_ratio`` on the
            full grid, see `check_two_level`.
        patches_per_region: patches along each axis of a region.
        rng: source of randomness.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.
    """
    batched = torch.from_numpy(np.ascontiguousarray(valid_grid, dtype=bool))[None, None]
    valid = group_regions(batched, patches_per_region)[0].numpy()  # (R, n)
    room = valid.sum(axis=1)
    total = masked_count(mask_ratio, int(room.sum()))
    chosen = _choose_regions(room, total, masked_count(region_ratio, int((room > 0).sum())), rng)
    counts = _share(room, chosen, total, rng)
    # Rank the patches of each region at random, invalid ones last: the first `count` are a uniform choice.
    keys = np.where(valid, rng.random_sample(valid.shape), 2.0)
    masked = keys.argsort(axis=1).argsort(axis=1) < counts[:, None]
    mask = ungroup_regions(torch.from_numpy(masked)[None], valid_grid.shape, patches_per_region)
    return np.asarray(mask[0, 0].numpy(), dtype=bool)


def _choose_regions(
    room: NDArray[np.int_], total: int, wanted: int, rng: np.random.RandomState
) -> NDArray[np.int_]:
    """Return about ``wanted`` regions whose room (R,) can hold ``total`` patches, at least one in each."""
    order = rng.permutation(np.flatnonzero(room))
    if total == 0:
        return order[:0]
    largest_first = np.sort(room[order])[::-1].cumsum()
    fewest = int(np.searchsorted(largest_first, total)) + 1  # so many of the largest regions are enough
    number = min(max(wanted, fewest), total)
    chosen, others = list(order[:number]), list(order[number:])
    missing = total - int(room[chosen].sum())
    while missing > 0:  # replace the smallest chosen region by the largest one that is not chosen
        out, into = min(chosen, key=lambda r: room[r]), max(others, key=lambda r: room[r])
        chosen[chosen.index(out)] = others.pop(others.index(into))
        missing -= int(room[into] - room[out])
    return np.asarray(chosen, dtype=int)


def _share(
    room: NDArray[np.int_], chosen: NDArray[np.int_], total: int, rng: np.random.RandomState
) -> NDArray[np.int_]:
    """Return how many patches of each region (R,) are masked: one per chosen region, the rest at random."""
    counts = np.zeros(room.shape, dtype=int)
    counts[chosen] = 1
    free = np.repeat(chosen, room[chosen] - 1)  # each chosen region, once per patch it has left
    np.add.at(counts, rng.permutation(free)[: total - chosen.size], 1)
    return counts
