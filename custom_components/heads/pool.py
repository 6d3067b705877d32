"""Means over bottleneck cells that leave padding out."""

from __future__ import annotations

from torch import Tensor


def masked_mean(features: Tensor, valid: Tensor | None, dim: tuple[int, ...]) -> Tensor:
    """Mean over ``dim`` of the features where ``valid`` (one channel, else the same shape) holds; 0 for nothing.

    How much of a crop is padding tells volumes apart, so a mean over padding would be a way to solve the pretext
    tasks without looking.
    """
    if valid is None:
        return features.mean(dim=dim)
    weight = valid.to(features.dtype)
    return (features * weight).sum(dim=dim) / weight.sum(dim=dim).clamp(min=1)
