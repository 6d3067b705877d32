"""The masked terms of HybridMIM (arXiv 2303.10333), one pure function each.

Every term is a mean over what its mask marks, so its scale does not depend on the mask ratio. It returns a scalar
in fp32 or wider. If the mask marks nothing, the result is an exact zero that keeps the graph; that needs no test
on the host, which would make a GPU wait. Other shapes or dtypes than those documented raise ValueError.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_components.averages import masked_mean

from .registry import term

#: Reconstruction errors that `reconstruction_loss` knows.
KINDS = ("mse", "l1")


@term(
    "visible",
    reads=("reconstruction", "reconstruction_target", "visible_mask"),
    options={"reconstruction": "kind"},
)
@term(
    "reconstruction",
    reads=("reconstruction", "reconstruction_target", "reconstruction_mask"),
    options={"reconstruction": "kind"},
)
def reconstruction_loss(pred: Tensor, target: Tensor, mask: Tensor, kind: str = "mse") -> Tensor:
    """Return the mean error over the marked voxels.

    The term ``reconstruction`` marks the masked voxels (MAE, arXiv 2111.06377: loss on masked patches only), the
    term ``visible`` those that the network sees. The second trains the output where it is needed later: a
    segmentation network sees visible voxels only.

    Args:
        pred: ``(B, C, D, H, W)``, any real value.
        target: same shape, the image's own intensities.
        mask: bool ``(B, 1, D, H, W)``, True where a voxel counts.
        kind: "mse" (squared error) or "l1" (absolute error).

    Returns:
        Scalar ``sum(error * mask) / (sum(mask) * C)``.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(KINDS)}")
    _check_shape("target", target, tuple(pred.shape))
    _check_mask("mask", mask, (pred.shape[0], 1, *pred.shape[2:]))
    # Masked before squaring: a value outside the mask, even inf, reaches neither the result nor the gradient.
    difference = (_wide(pred) - _wide(target)).masked_fill(~mask, 0)
    error = difference.square() if kind == "mse" else difference.abs()
    return error.sum() / (mask.sum() * pred.shape[1]).clamp(min=1)


@term("count", reads=("count_logits", "count_target", "region_valid"))
def count_loss(logits: Tensor, target: Tensor, region_valid: Tensor) -> Tensor:
    """Return the cross-entropy of the number of masked patches, mean over valid regions.

    Args:
        logits: ``(B, R, n + 1)``.
        target: long ``(B, R)``, 0…n.
        region_valid: bool ``(B, R)``, True = counts.
    """
    _check_shape("target", target, tuple(logits.shape[:2]))
    _check_mask("region_valid", region_valid, tuple(logits.shape[:2]))
    each = F.cross_entropy(_wide(logits).flatten(0, 1), target.flatten(), reduction="none")
    return masked_mean(each.view_as(target), region_valid)


@term("position", reads=("position_logits", "position_target", "patch_valid"))
def position_loss(logits: Tensor, target: Tensor, patch_valid: Tensor) -> Tensor:
    """Return the binary cross-entropy of which patches are masked, mean over valid patches.

    Args:
        logits: ``(B, R, n)``.
        target: bool (or 0 and 1) ``(B, R, n)``, True = masked.
        patch_valid: bool ``(B, R, n)``, True = counts.
    """
    _check_shape("target", target, tuple(logits.shape))
    _check_mask("patch_valid", patch_valid, tuple(logits.shape))
    wide = _wide(logits)
    each = F.binary_cross_entropy_with_logits(wide, target.to(wide.dtype), reduction="none")
    return masked_mean(each, patch_valid)


@term("consistency", reads=("count_logits", "position_logits", "region_valid", "patch_valid"))
def consistency_loss(
    count_logits: Tensor, position_logits: Tensor, region_valid: Tensor, patch_valid: Tensor
) -> Tensor:
    """Return the squared difference of both heads' expected counts over n², mean over valid regions.

    The released HybridMIM compares an argmax with a threshold, through which no gradient flows. Expectations let
    the gradient reach both heads.

    Args:
        count_logits: ``(B, R, n + 1)``.
        position_logits: ``(B, R, n)``.
        region_valid: bool ``(B, R)``, True = counts.
        patch_valid: bool ``(B, R, n)``; other patches do not enter the sum.

    Returns:
        Scalar in [0, 1].
    """
    n = position_logits.shape[-1]
    _check_shape("count_logits", count_logits, (*position_logits.shape[:2], n + 1))
    _check_mask("region_valid", region_valid, tuple(position_logits.shape[:2]))
    _check_mask("patch_valid", patch_valid, tuple(position_logits.shape))
    shares = _wide(count_logits).softmax(dim=-1)
    counted = (shares * torch.arange(n + 1, device=shares.device, dtype=shares.dtype)).sum(dim=-1)
    placed = _wide(position_logits).sigmoid().masked_fill(~patch_valid, 0).sum(dim=-1)
    return masked_mean((counted - placed).square() / n**2, region_valid)


def _wide(t: Tensor) -> Tensor:
    """Return ``t`` in fp32, or unchanged if it is fp64."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _check_shape(name: str, t: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(t.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(t.shape)}; the prediction needs {shape}")


def _check_mask(name: str, t: Tensor, shape: tuple[int, ...]) -> None:
    _check_shape(name, t, shape)
    if t.dtype != torch.bool:
        raise ValueError(f"{name} is {t.dtype}; allowed: torch.bool")
