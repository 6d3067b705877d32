"""The process group: this process's rank, the number of ranks, and gathering or adding up over all of them."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Content = TypeVar("Content")


def is_initialized() -> bool:
    """Return True if a process group exists."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's rank; before ``init_process_group``, the one that torchrun assigned."""
    return int(dist.get_rank()) if is_initialized() else int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Return the number of ranks in the process group; 1 without one."""
    return int(dist.get_world_size()) if is_initialized() else 1


def any_rank(number: int, device: torch.device | None = None) -> int:
    """Return the largest of all ranks' numbers, on every rank; all ranks must call it.

    Args:
        number: this rank's.
        device: of the process group's backend: the GPU for NCCL.
    """
    if world_size() == 1:
        return number
    largest = torch.tensor(number, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def gather_objects(content: Content) -> list[Content]:
    """Return every rank's ``content`` in the order of ranks, on every rank; all ranks must call it."""
    if not is_initialized():
        return [content]
    gathered: list[Content] = [content] * world_size()
    dist.all_gather_object(gathered, content)
    return gathered


def sum_over_ranks(t: Tensor) -> Tensor:
    """Add up every rank's tensor in place, and return it; all ranks must call it with equal shapes."""
    if is_initialized():
        dist.all_reduce(t)
    return t
