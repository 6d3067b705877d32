"""Means that leave out what does not count."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor | None, dim: tuple[int, ...] | None = None) -> Tensor:
    """Return the mean of ``values`` where ``mask`` is True; 0, with graph, where it is True nowhere.

    Args:
        values: any shape.
        mask: bool, of the same shape; with ``dim`` other axes may have length 1. None: everything counts.
        dim: axes to average over; None: all axes.
    """
    if mask is None:
        return values.mean(dim=dim)
    axes = tuple(range(values.ndim)) if dim is None else dim
    return values.masked_fill(~mask, 0).sum(dim=axes) / mask.sum(dim=axes).clamp(min=1)


def masked_mean_and_deviation(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each sample and channel over its marked voxels; 0 without any.

    Args:
        image: ``(B, C, D, H, W)``.
        mask: bool ``(B, 1, D, H, W)``.

    Returns:
        Two ``(B, C, 1, 1, 1)`` in at least single precision, because half precision cannot count a crop's voxels.
    """
    voxels = image.to(torch.promote_types(image.dtype, torch.float32))
    number = mask.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
    mean = voxels.masked_fill(~mask, 0).sum(dim=(2, 3, 4), keepdim=True) / number
    difference = (voxels - mean).masked_fill(~mask, 0)
    return mean, (difference.square().sum(dim=(2, 3, 4), keepdim=True) / number).sqrt()
