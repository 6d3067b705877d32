"""Two changes of MONAI's SwinUNETR that pretrain_step.py measures: shift masks are kept; attention is one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from unittest.mock import patch

import torch
from monai.networks.nets import swin_unetr
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

_cached_mask = lru_cache(maxsize=32)(swin_unetr.compute_mask)


def kept_mask(dims: list[int], window: tuple[int, ...], shift: tuple[int, ...], device: torch.device) -> Tensor:
    """Replace `compute_mask`, which MONAI calls in every stage of every forward pass."""
    return _cached_mask(tuple(dims), window, shift, device)


def one_call(attention: swin_unetr.WindowAttention, x: Tensor, mask: Tensor | None) -> Tensor:
    """Replace `WindowAttention.forward`: `scaled_dot_product_attention`, with gradients too, without dropout.

    MONAI's own ``use_flash_attention`` does so only where no gradient is needed.
    """
    windows, tokens, features = x.shape
    heads = attention.num_heads
    q, k, v = attention.qkv(x).reshape(windows, tokens, 3, heads, features // heads).permute(2, 0, 3, 1, 4)
    places = attention.get_buffer("relative_position_index")[:tokens, :tokens].reshape(-1)
    bias = attention.relative_position_bias_table[places].reshape(1, tokens, tokens, heads).permute(0, 3, 1, 2)
    if mask is not None:
        bias = (bias + mask[:, None]).repeat(windows // mask.shape[0], 1, 1, 1)
    x = scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=attention.scale)
    return attention.proj_drop(attention.proj(x.transpose(1, 2).reshape(windows, tokens, features)))


@contextmanager
def changed(kept_masks: bool, one_call_attention: bool) -> Iterator[None]:
    """Change SwinUNETR within the context."""
    with ExitStack() as stack:
        if kept_masks:
            stack.enter_context(patch.object(swin_unetr, "compute_mask", kept_mask))
        if one_call_attention:
            stack.enter_context(patch.object(swin_unetr.WindowAttention, "forward", one_call))
        yield
