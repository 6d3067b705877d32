"""Volumes as sequences of patches, and targets normalised within each patch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from custom_components.masking.grid import Size, Triple, patch_grid, patch_sums, to_3tuple


class NormalizedPatches(NamedTuple):
    """An image whose patches have mean 0 and deviation 1, and both statistics to undo it; ``(B, C, D, H, W)``."""

    image: Tensor
    mean: Tensor
    deviation: Tensor


def patchify(image: Tensor, patch_size: Size) -> Tensor:
    """Cut ``(B, C, D, H, W)`` into ``(B, N, C * pd * ph * pw)``, patches in C order of their grid.

    The last axis is in C order of ``(C, pd, ph, pw)``, like a convolution's flattened weight.

    Raises:
        ValueError: when an axis is not a multiple of the patch.
    """
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size, "patch_size"), patch_grid(image.shape[2:], patch_size)
    batch, channels = image.shape[:2]
    # axes: B, C, grid d, patch d, grid h, patch h, grid w, patch w -> B, grid d h w, C, patch d h w
    split = image.reshape(batch, channels, gd, pd, gh, ph, gw, pw).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return split.reshape(batch, gd * gh * gw, channels * pd * ph * pw)


def unpatchify(patches: Tensor, grid: Size, patch_size: Size) -> Tensor:
    """Undo `patchify`: ``(B, N, C * pd * ph * pw)`` to ``(B, C, D, H, W)`` with ``grid = (gd, gh, gw)``.

    Raises:
        ValueError: when N is not the grid's number of patches, or the last axis not a whole number of channels.
    """
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size, "patch_size"), to_3tuple(grid, "grid")
    batch, number, values = patches.shape
    if number != gd * gh * gw or values % (pd * ph * pw):
        raise ValueError(
            f"patches {tuple(patches.shape)} do not fill a grid of {(gd, gh, gw)} patches of {(pd, ph, pw)} voxels"
        )
    # axes: B, grid d h w, C, patch d h w -> B, C, grid and patch of the same axis side by side
    split = patches.reshape(batch, gd, gh, gw, -1, pd, ph, pw).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return split.reshape(batch, -1, gd * pd, gh * ph, gw * pw)


def normalize_patches(image: Tensor, valid: Tensor, patch_size: Size, epsilon: float = 1e-6) -> NormalizedPatches:
    """Normalise each patch to mean 0 and deviation 1 over its valid voxels, channel by channel.

    MAE's normalised targets (arXiv 2111.06377, section 4) pool the colours of a patch. Here channels are MR
    sequences with different scales, so each channel has its own statistics.

    Args:
        image: ``(B, C, D, H, W)``, floating point.
        valid: bool ``(B, 1, D, H, W)``, True = valid; other voxels are left out of the statistics.
        patch_size: voxels along each axis of a patch.
        epsilon: added to the variance, in the image's unit squared.

    Returns:
        The normalised image, with ``mean`` and ``deviation`` repeated over their patches, so that
        ``image * deviation + mean`` is the input. A patch without a valid voxel has mean 0 and deviation
        ``sqrt(epsilon)``.
    """
    size = patch_grid(image.shape[2:], patch_size)
    voxels = image.to(torch.promote_types(image.dtype, torch.float32))
    counts = patch_sums(valid.to(voxels.dtype), patch_size).clamp(min=1)
    mean = _spread(patch_sums(voxels.masked_fill(~valid, 0), patch_size) / counts, size, patch_size)
    difference = (voxels - mean).masked_fill(~valid, 0)
    variance = patch_sums(difference.square(), patch_size) / counts
    deviation = _spread((variance + epsilon).sqrt(), size, patch_size)
    return NormalizedPatches((voxels - mean) / deviation, mean, deviation)


def _spread(t: Tensor, grid: Triple, patch_size: Size) -> Tensor:
    """Give each voxel its patch's value: ``(B, C, gd, gh, gw)`` to ``(B, C, D, H, W)``."""
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size), grid
    wide = t[:, :, :, None, :, None, :, None].expand(*t.shape[:2], gd, pd, gh, ph, gw, pw)
    return wide.reshape(*t.shape[:2], gd * pd, gh * ph, gw * pw)
