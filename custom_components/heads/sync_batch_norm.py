"""Batch norm whose batch is that of all ranks, on any backend."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncBatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the rows of all ranks, with gradient; on one rank, and in evaluation, just that.

    A rank's own statistics would mark its rows, which helps to tell them from other ranks' in a contrast (SimCLR,
    arXiv 2002.05709, section 2.2). `torch.nn.SyncBatchNorm` is for GPUs alone; this also runs over gloo. Ranks
    give equally many rows each, all train at the same time, and end with the same statistics.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of BatchNorm1d's own
        """Map ``(B, F)`` to ``(B, F)``."""
        ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if not self.training or ranks == 1:
            return super().forward(input)
        rows = input.to(torch.promote_types(input.dtype, torch.float32))  # sums of bf16 would lose digits
        number = ranks * len(rows)
        mean = _SumOverRanks.apply(rows.sum(dim=0)) / number
        centred = rows - mean
        variance = _SumOverRanks.apply(centred.square().sum(dim=0)) / number
        self._follow(mean.detach(), variance.detach() * number / (number - 1))
        return (centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias).to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as BatchNorm1d does."""
        assert self.running_mean is not None  # BatchNorm1d's types allow for norms without a memory
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks; a rank receives the sum of what all ranks' losses ask of it.

    torch.distributed.nn.functional.all_reduce does this too; torch 2.13 deprecates it.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
