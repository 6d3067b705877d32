"""Block masking: the union of random boxes of patches, on the boolean grid of one sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from custom_components.masking.grid import masked_count, to_3tuple
from custom_components.masking.sampling import BoolGrid

Box = tuple[slice, slice, slice]


def draw_blocks(
    valid_grid: BoolGrid, mask_ratio: float, patches_per_block: int | Sequence[int], rng: np.random.RandomState
) -> BoolGrid:
    """Draw boxes of patches until enough are masked (block-wise masking as in BEiT, arXiv 2106.08254, in 3D).

    Pick an unmasked valid patch, draw a box up to the largest size, place it at random so that it covers the
    patch, and clip it to the grid. Boxes may overlap. Of the last box only the patches nearest to the picked one
    are masked, as many as are still missing. Patches at the border are masked less often: fewer boxes reach them.

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        patches_per_block: patches along each axis of the largest box; the grid's size limits it.
        rng: source of randomness.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.
    """
    largest = np.minimum(to_3tuple(patches_per_block, "patches_per_block"), valid_grid.shape)
    places = np.flatnonzero(valid_grid)
    missing = masked_count(mask_ratio, places.size)
    mask = np.zeros(valid_grid.shape, dtype=bool)
    # The rest of a permutation stays in random order whatever the boxes cover, so the next patch is a uniform
    # draw.
    for place in np.stack(np.unravel_index(rng.permutation(places), valid_grid.shape), axis=1):
        if missing == 0:
            break
        if mask[tuple(place)]:
            continue
        box = _draw_box(place, largest, rng)
        new = np.argwhere(valid_grid[box] & ~mask[box]) + [side.start for side in box]
        taken = _nearest(new, place, missing, rng)
        mask[tuple(taken.T)] = True
        missing -= len(taken)
    return mask


def _draw_box(place: NDArray[np.int_], largest: NDArray[np.int_], rng: np.random.RandomState) -> Box:
    """Draw a box that covers the patch at ``place`` (3,), clipped to the grid."""
    sides = rng.randint(1, largest + 1)
    starts = place - rng.randint(sides)
    d, h, w = (slice(max(int(a), 0), int(a + n)) for a, n in zip(starts, sides, strict=True))
    return d, h, w


def _nearest(
    patches: NDArray[np.int_], place: NDArray[np.int_], number: int, rng: np.random.RandomState
) -> NDArray[np.int_]:
    """Return all patches (n, 3), or the ``number`` nearest to ``place`` (3,); ties are broken at random."""
    if len(patches) <= number:
        return patches
    patches = rng.permutation(patches)
    distances = np.square(patches - place).sum(axis=1)
    return patches[np.argsort(distances, kind="stable")[:number]]
