"""What a trivial method would achieve: masked voxels filled from the visible ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.simplelayers import GaussianFilter
from torch import Tensor

from custom_components.averages import masked_mean

#: Standard deviation of the Gaussian along each axis, in sides of a patch. Wider ones blur away more detail.
SIGMA_SHARE = 0.125
#: Standard deviations after which the Gaussian is cut off.
TRUNCATED = 5.0
#: Share of the Gaussian's weight below which the visible voxels are too far away: some convolutions on a GPU have
#: rounding errors near that size.
MIN_WEIGHT = 1e-5


def mean_fill(image: Tensor, visible: Tensor) -> Tensor:
    """Fill a crop with the mean of its visible voxels, channel by channel.

    Args:
        image: ``(B, C, D, H, W)``.
        visible: bool ``(B, 1, D, H, W)``; only these voxels are read.

    Returns:
        ``(B, C, D, H, W)``, float32; 0 for a crop without a visible voxel.
    """
    return masked_mean(image.float(), visible, (2, 3, 4))[:, :, None, None, None].expand(image.shape)


def gaussian_fill(image: Tensor, visible: Tensor, patch_size: Sequence[int]) -> Tensor:
    """Fill each voxel with the Gaussian-weighted mean of the visible voxels around it (normalised convolution).

    The standard deviation is an eighth of the patch along each axis. Where the visible voxels have less than 1e-5
    of the Gaussian's weight, beyond about half a patch, the voxel gets the crop's mean (see `mean_fill`).

    Args:
        image: ``(B, C, D, H, W)``.
        visible: bool ``(B, 1, D, H, W)``; only these voxels are read.
        patch_size: voxels along each axis of a patch.

    Returns:
        ``(B, C, D, H, W)``, float32.
    """
    sigma = [SIGMA_SHARE * side for side in patch_size]
    smooth = GaussianFilter(3, sigma, TRUNCATED, approx="sampled").to(image.device)
    mean = mean_fill(image, visible)
    # The mean is taken off first: sums of small numbers are exact enough in float32.
    sums, weights = smooth((image.float() - mean).masked_fill(~visible, 0)), smooth(visible.float())
    near = weights >= MIN_WEIGHT
    return mean + torch.where(near, sums / torch.where(near, weights, 1), 0)
