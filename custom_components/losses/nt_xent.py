"""Contrast between crops: NT-Xent (SimCLR, arXiv 2002.05709) with negatives from other volumes and ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def nt_xent(
    view_1: Tensor, view_2: Tensor, volume_id: Tensor, temperature: float = 0.5, gather: bool = True
) -> tuple[Tensor, Tensor]:
    """Normalised, temperature-scaled cross-entropy of each view against its other view.

    Anchors are both views of this rank's items. For each, the log-sum-exp runs over its positive (the other
    view) and over both views of every item with another ``volume_id``, on all ranks; other crops of the same
    volume are neither positive nor negative. The mean over ranks of value and of gradient (what DDP averages)
    equals that of one rank with the whole batch, when ranks hold equally many items.

    Args:
        view_1: ``(B, P)``, any scale; normalised here.
        view_2: ``(B, P)``, the other view of the same items.
        volume_id: long ``(B,)``, unique over ranks for each volume.
        temperature: over 0.
        gather: whether other ranks' items are negatives, where torch.distributed is initialised. All ranks
            then have to call with equally many items, and to run backward when one does.

    Returns:
        The loss, a scalar in fp32 or wider, mean over the 2·B anchors; and the mean number of negatives of an
        anchor, a scalar without graph. With no negative an anchor's loss is 0, with graph.

    Raises:
        ValueError: for shapes other than these, or a temperature that is not over 0.
    """
    if view_1.ndim != 2 or view_1.shape != view_2.shape or volume_id.shape != view_1.shape[:1]:
        raise ValueError(
            "nt_xent needs views (B, P) and volume_id (B,), found "
            f"{tuple(view_1.shape)}, {tuple(view_2.shape)} and {tuple(volume_id.shape)}."
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be over 0, found {temperature}.")
    wide = torch.promote_types(view_1.dtype, torch.float32)
    with torch.autocast(view_1.device.type, enabled=False):  # bf16 products would lose small differences
        anchors = F.normalize(torch.stack([view_1.to(wide), view_2.to(wide)]), dim=-1)  # (2, B, P)
        items, ids = anchors, volume_id
        if gather and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            items = torch.cat(_AllGather.apply(anchors), dim=1)  # (2, B of all ranks, P)
            ids = torch.cat(_all_gather(volume_id))
        others = volume_id[:, None] != ids[None, :]  # (B, B of all ranks)
        # logits: view of the anchor, anchor, view of the item, item
        logits = torch.einsum("vbp,wip->vbwi", anchors, items) / temperature
        negatives = logits.masked_fill(~others[None, :, None, :], float("-inf")).flatten(2)
        positive = (anchors[0] * anchors[1]).sum(dim=-1) / temperature  # (B,), the same from either view
        positive = positive.expand(2, -1)
        everything = torch.cat([positive[..., None], negatives], dim=-1)
        loss = (torch.logsumexp(everything, dim=-1) - positive).mean()
    return loss, 2 * others.sum(dim=1).to(wide).mean()


def _all_gather(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors of all ranks, which have to be of one shape, in the order of ranks."""
    tensor = tensor.contiguous()
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, tensor)
    return tuple(gathered)


class _AllGather(torch.autograd.Function):
    """The same with gradient: a rank receives the sum of what all ranks' losses ask of its tensor.

    torch.distributed.nn.functional.all_gather does this too; torch 2.13 deprecates it.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        return _all_gather(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        stacked = torch.stack(gradients)
        dist.all_reduce(stacked)  # every backend has it, and the tensors are small
        return stacked[dist.get_rank()]
