"""Contrast between crops: NT-Xent (SimCLR, arXiv 2002.05709) with negatives from other volumes and ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from custom_components.distributed import world_size
from custom_components.number_checks import check_number

from .registry import term


@term(
    "contrast",
    reads=("view_1", "view_2", "volume_id"),
    options={"temperature": "temperature", "gather": "gather"},
    also=("negatives",),
)
def nt_xent(
    view_1: Tensor, view_2: Tensor, volume_id: Tensor, temperature: float = 0.5, gather: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the normalised, temperature-scaled cross-entropy of each view against its other view.

    Anchors are both views of this rank's items. The positive of an anchor is the other view of the same item. Its
    negatives are both views of every item with another ``volume_id``, on all ranks; other crops of the same volume
    are ignored. If all ranks hold equally many items, the mean over ranks of the loss and of its gradient (what
    DDP averages) equals the result of one rank with the whole batch.

    Args:
        view_1: ``(B, P)``, any scale; normalised here.
        view_2: ``(B, P)``, the other view of the same items.
        volume_id: integer ``(B,)``, unique over ranks for each volume, on any device.
        temperature: above 0.
        gather: whether items of other ranks are negatives too, if torch.distributed is initialised. All ranks must
            then call this function with equally many items, and run backward if one of them does.

    Returns:
        The loss, a scalar in fp32 or wider, mean over the 2·B anchors; and the mean number of negatives per
        anchor, a scalar without graph. An anchor without negatives has loss 0, with graph.

    Raises:
        ValueError: for other shapes, or a temperature that is not above 0.
    """
    if view_1.ndim != 2 or view_1.shape != view_2.shape or volume_id.shape != view_1.shape[:1]:
        raise ValueError(
            "nt_xent needs views (B, P) and volume_id (B,), found "
            f"{tuple(view_1.shape)}, {tuple(view_2.shape)} and {tuple(volume_id.shape)}"
        )
    check_number(temperature, "temperature", above=0)
    volume_id = volume_id.to(view_1.device)
    wide = torch.promote_types(view_1.dtype, torch.float32)
    with torch.autocast(view_1.device.type, enabled=False):  # bf16 products would lose small differences
        anchors = F.normalize(torch.stack([view_1.to(wide), view_2.to(wide)]), dim=-1)  # (2, B, P)
        items, ids = anchors, volume_id
        if gather and world_size() > 1:
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
    """Return the tensors of all ranks, which must have one shape, in the order of ranks."""
    tensor = tensor.contiguous()
    gathered = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(gathered, tensor)
    return tuple(gathered)


class _AllGather(torch.autograd.Function):
    """`_all_gather` with gradient: a rank receives the sum of all ranks' gradients for its tensor.

    torch.distributed.nn.functional.all_gather does the same, but torch 2.13 deprecates it.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        return _all_gather(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        stacked = torch.stack(gradients)
        dist.all_reduce(stacked)  # every backend has it, and the tensors are small
        return stacked[dist.get_rank()]
