"""Which patches are hidden: the draws themselves, on the boolean grid of one sample.

Pure functions of their arguments and of the random state given. Both draw an exact number of patches,
``round(mask_ratio * valid patches)``, and never one without a valid voxel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from custom_components.masking.grid import check_ratio, masked_count, region_grid, to_3tuple
from custom_components.masking.regions import group_regions, ungroup_regions

BoolGrid = NDArray[np.bool_]


def draw_uniform(valid_grid: BoolGrid, mask_ratio: float, rng: np.random.RandomState) -> BoolGrid:
    """Draw patches uniformly without replacement (SimMIM, MAE: arXiv 2111.09886, 2111.06377).

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        rng: where the randomness comes from.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.

    Raises:
        ValueError: when the ratio lies outside [0, 1].
    """
    places = np.flatnonzero(valid_grid)
    mask = np.zeros(valid_grid.shape, dtype=bool)
    mask.flat[rng.permutation(places)[: masked_count(mask_ratio, places.size)]] = True
    return mask


def check_two_level(
    grid: Sequence[int], mask_ratio: float, region_ratio: float, patches_per_region: int | Sequence[int]
) -> None:
    """Refuse a pair of ratios that no mask on a fully valid grid can have.

    ``round(region_ratio * regions)`` regions hold between one and all of their patches each, and the total
    has to lie between the two. ``mask_ratio`` 0 hides nothing and goes with any ``region_ratio``.

    Args:
        grid: patches along each axis, ``(gd, gh, gw)``.
        mask_ratio: share of all patches to mask, in [0, 1].
        region_ratio: share of the regions that hold them, in [0, 1].
        patches_per_region: patches along each axis of a region.

    Raises:
        ValueError: when infeasible, naming both ratios and the counts; or when a ratio lies outside [0, 1],
            or the grid is not a multiple of the region.
    """
    check_ratio(mask_ratio, "mask_ratio")
    check_ratio(region_ratio, "region_ratio")
    regions = int(np.prod(region_grid(grid, patches_per_region)))
    each = int(np.prod(to_3tuple(patches_per_region)))
    total, touched = masked_count(mask_ratio, regions * each), masked_count(region_ratio, regions)
    if mask_ratio > 0 and not touched <= total <= touched * each:
        raise ValueError(
            f"mask_ratio {mask_ratio} and region_ratio {region_ratio} do not go together on a grid of "
            f"{tuple(grid)} patches: {total} of {regions * each} patches are to be masked in {touched} of "
            f"{regions} regions of {each} patches, which can hold {touched} to {touched * each}."
        )


def draw_two_level(
    valid_grid: BoolGrid,
    mask_ratio: float,
    region_ratio: float,
    patches_per_region: int | Sequence[int],
    rng: np.random.RandomState,
) -> BoolGrid:
    """Draw regions, then patches inside them (HybridMIM's two-level masking, arXiv 2303.10333).

    Level one picks ``round(region_ratio * valid regions)`` regions and shares the total over them: one patch
    each, the rest drawn without replacement from what room they have left. Level two draws which patches.
    Where only part of the grid is valid and the rounded numbers do not fit, the number of regions moves by
    the least that fits, and no more of the drawn regions are exchanged than the total needs.

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        region_ratio: share of the valid regions to touch, in [0, 1].
        patches_per_region: patches along each axis of a region.
        rng: where the randomness comes from.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.

    Raises:
        ValueError: when no mask on the full grid can have both ratios (see :func:`check_two_level`).
    """
    check_two_level(valid_grid.shape, mask_ratio, region_ratio, patches_per_region)
    batched = torch.from_numpy(np.ascontiguousarray(valid_grid, dtype=bool))[None, None]
    valid = group_regions(batched, patches_per_region)[0].numpy()  # (R, n)
    room = valid.sum(axis=1)
    total = masked_count(mask_ratio, int(room.sum()))
    chosen = _choose_regions(room, total, masked_count(region_ratio, int((room > 0).sum())), rng)
    counts = _share(room, chosen, total, rng)
    # A random rank within each region, patches that are not valid last: rank < count is a uniform choice.
    keys = np.where(valid, rng.random_sample(valid.shape), 2.0)
    hidden = keys.argsort(axis=1).argsort(axis=1) < counts[:, None]
    mask = ungroup_regions(torch.from_numpy(hidden)[None], valid_grid.shape, patches_per_region)
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
    while missing > 0:  # the smallest region drawn makes way for the largest one not drawn
        out, into = min(chosen, key=lambda r: room[r]), max(others, key=lambda r: room[r])
        chosen[chosen.index(out)] = others.pop(others.index(into))
        missing -= int(room[into] - room[out])
    return np.asarray(chosen, dtype=int)


def _share(
    room: NDArray[np.int_], chosen: NDArray[np.int_], total: int, rng: np.random.RandomState
) -> NDArray[np.int_]:
    """Return how many patches each region (R,) gives: one per chosen region, the rest by lot."""
    counts = np.zeros(room.shape, dtype=int)
    counts[chosen] = 1
    lots = np.repeat(chosen, room[chosen] - 1)  # one lot per patch that a chosen region has left
    np.add.at(counts, rng.permutation(lots)[: total - chosen.size], 1)
    return counts
