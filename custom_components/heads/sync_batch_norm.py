"""Batch norm over the rows of all ranks, on any backend."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from custom_components.distributed import world_size


class SyncBatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the rows of all ranks, with gradient.

    Statistics of a single rank would mark its rows, which makes the contrast with other ranks' rows too easy
    (SimCLR, arXiv 2002.05709, section 2.2). `torch.nn.SyncBatchNorm` runs on GPUs only; this class also runs over
    gloo. All ranks must have equally many rows and train at the same time; they end with the same statistics.
    On one rank, and in evaluation, it is plain BatchNorm1d.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that BatchNorm1d uses
        """Map ``(B, F)`` to ``(B, F)``."""
        ranks = world_size()
        if not self.training or ranks == 1:
            return super().forward(input)
        rows = input.to(torch.promote_types(input.dtype, torch.float32))  # sums in bf16 would lose digits
        number = ranks * len(rows)
        mean = _SumOverRanks.apply(rows.sum(dim=0)) / number
        centred = rows - mean
        variance = _SumOverRanks.apply(centred.square().sum(dim=0)) / number
        self._update_statistics(mean.detach(), variance.detach() * number / (number - 1))
        return (centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias).to(input.dtype)

    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as BatchNorm1d does."""
        assert self.running_mean is not None  # the types also allow for norms without running statistics
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; the gradient is the sum over ranks too.

    torch.distributed.nn.functional.all_reduce does the same, but torch 2.13 deprecates it.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _sum_over_ranks(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum_over_ranks(gradient)


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
