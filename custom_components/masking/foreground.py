"""Masks that prefer what the image shows: how much of a patch is foreground, and the draw by that share."""

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
    """Say which share of each patch's valid voxels is foreground.

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
    lit = torch.cat([(image > above).any(dim=0, keepdim=True) for image in plain]).any(dim=0, keepdim=True)
    counts = patch_sums(torch.stack([lit & valid, valid]), patch_size)[:, 0].cpu().numpy()
    return np.asarray(counts[0] / np.maximum(counts[1], 1), dtype=np.float64)


def draw_foreground(
    valid_grid: BoolGrid, mask_ratio: float, share: ShareGrid, weight: float, rng: np.random.RandomState
) -> BoolGrid:
    """Draw patches one after the other without replacement, foreground by preference.

    At each draw a patch's chance is proportional to ``1 + (weight - 1) * share``: a patch that is all foreground
    is ``weight`` times as likely as one that is all background, and with ``weight`` 1 the draw is uniform.

    Args:
        valid_grid: bool ``(gd, gh, gw)``, True where a patch may be masked.
        mask_ratio: share of the valid patches to mask, in [0, 1].
        share: float ``(gd, gh, gw)``, foreground of each patch, in [0, 1] (see :func:`foreground_share`).
        weight: above 0; under 1 background is preferred.
        rng: where the randomness comes from.

    Returns:
        bool ``(gd, gh, gw)``, True = masked, exactly ``round(mask_ratio * valid patches)`` of them.

    Raises:
        ValueError: when the ratio lies outside [0, 1], the share's shape is another, or the weight not above 0.
    """
    check_weight(weight)
    if share.shape != valid_grid.shape:
        raise ValueError(f"share has shape {share.shape}; the grid of patches has {valid_grid.shape}.")
    places = np.flatnonzero(valid_grid)
    chances = (1 - share.flat[places]) + weight * share.flat[places]  # above 0 for every weight that is
    # Waiting times with these rates: the order in which they end is the order of such draws (Efraimidis-Spirakis).
    waits = rng.standard_exponential(places.size) / chances
    mask = np.zeros(valid_grid.shape, dtype=bool)
    mask.flat[places[np.argsort(waits)[: masked_count(mask_ratio, places.size)]]] = True
    return mask


def check_weight(weight: float, name: str = "foreground_weight") -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        ValueError: with the name, what was found and what is allowed.
    """
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
        raise ValueError(f"{name} must be a number above 0, found {weight!r}.")
