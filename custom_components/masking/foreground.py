"""Foreground masking: the share of foreground in each patch, and weighted sampling by that share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

from custom_components.masking.grid import masked_count, patch_sums
from custom_components.masking.sampling import BoolGrid

ShareGrid = NDArray[np.float64]


def foreground_share(
    images: Sequence[Tensor], valid: Tensor, above: float, patch_size: int | Sequence[int]
) -> ShareGrid:
    """Return the share of each patch's valid voxels that is foreground.

    Args:
        images: each ``(C, D, H, W)``, of one grid, any number of channels.
        valid: bool ``(1, D, H, W)``, True = counts.
        above: intensity, in the images' unit; a voxel over it in any channel of any image is foreground.
        patch_size: voxels along each axis of a patch.

    Returns:
        float64 ``(gd, gh, gw)``, in [0, 1]; 0 for a patch without a valid voxel.

    Raises:
        ValueError: when an axis is not a multiple of the patch.
    """
    plain = [image.as_tensor() if isinstance(image, MetaTensor) else torch.as_tensor(image) for image in images]
    foreground = torch.cat([image > above for image in plain]).any(dim=0, keepdim=True)
    counts = patch_sums(torch.stack([foreground & valid, valid]), patch_size)[:, 0].cpu().numpy()
    return np.asarray(counts[0] / np.maximum(counts[1], 1), dtype=np.float64)


def draw_foreground(
    valid_grid: BoolGrid, mask_ratio: float, share: ShareGrid, weight: float, rng: np.random.RandomState
) -> BoolGrid:
    """Draw patches by weighted sampling without replacement that prefers foreground patches.

    The sampling weight of a patch is ``1 + (weight - 1) * share``: an all-foreground patch is ``weight`` times as
    likely as an empty one. With ``weight`` 1 the draw is uniform; below 1 it prefers background.

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        share: float ``(gd, gh, gw)``, foreground of each patch, in [0, 1] (see `foreground_share`).
        weight: sampling weight of an all-foreground patch relative to an empty one, above 0.
        rng: source of randomness.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.

    Raises:
        ValueError: when ``share`` has another shape than ``valid_grid``.
    """
    if share.shape != valid_grid.shape:
        raise ValueError(f"share has shape {share.shape}; the grid of patches has {valid_grid.shape}")
    places = np.flatnonzero(valid_grid)
    # Written so that it stays above 0 for every weight above 0, whatever the rounding.
    weights = (1 - share.flat[places]) + weight * share.flat[places]
    # Sorting exponential waiting times with these rates is weighted sampling without replacement
    # (Efraimidis-Spirakis).
    waits = rng.standard_exponential(places.size) / weights
    mask = np.zeros(valid_grid.shape, dtype=bool)
    mask.flat[places[np.argsort(waits)[: masked_count(mask_ratio, places.size)]]] = True
    return mask
