"""Means that leave out what does not count."""

from __future__ import annotations

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
