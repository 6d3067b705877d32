"""The masked terms of HybridMIM (arXiv 2303.10333), one pure function each.

Each is a mean over what its mask says counts, so that its scale does not change with the mask ratio. What
does not count is set to zero before it is summed, so where nothing counts the result is an exact zero that
keeps the graph, with no test of it on the host (which would make the GPU wait). Sums are in fp32 or wider.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("mse", "l1")
"""Reconstruction errors that :func:`reconstruction_loss` knows."""


def reconstruction_loss(pred: Tensor, target: Tensor, mask: Tensor, kind: str = "mse") -> Tensor:
    """Mean error over the masked voxels (MAE, arXiv 2111.06377: loss on hidden patches only).

    Args:
        pred: ``(B, C, D, H, W)``, any real value.
        target: same shape, the image's own intensities.
        mask: bool ``(B, 1, D, H, W)``, True where a voxel is masked and valid.
        kind: "mse" (squared) or "l1" (absolute).

    Returns:
        Scalar ``sum(error * mask) / (sum(mask) * C)``, fp32 or wider; 0 with graph for an empty mask.

    Raises:
        ValueError: for an unknown kind, or shapes or a dtype other than these.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {kind!r}.")
    _check_shape("target", target, tuple(pred.shape))
    _check_mask("mask", mask, (pred.shape[0], 1, *pred.shape[2:]))
    # Zero before squaring: what lies outside the mask, were it even inf, reaches neither value nor gradient.
    apart = (_wide(pred) - _wide(target)).masked_fill(~mask, 0)
    error = apart.square() if kind == "mse" else apart.abs()
    return error.sum() / (mask.sum() * pred.shape[1]).clamp(min=1)


def count_loss(logits: Tensor, target: Tensor, region_valid: Tensor) -> Tensor:
    """Cross-entropy of the number of masked patches, mean over valid regions.

    Args:
        logits: ``(B, R, n + 1)``.
        target: long ``(B, R)``, 0…n.
        region_valid: bool ``(B, R)``, True = counts.

    Returns:
        Scalar, fp32 or wider; 0 with graph when no region is valid.

    Raises:
        ValueError: for shapes or a dtype other than these.
    """
    _check_shape("target", target, tuple(logits.shape[:2]))
    _check_mask("region_valid", region_valid, tuple(logits.shape[:2]))
    each = F.cross_entropy(_wide(logits).flatten(0, 1), target.flatten(), reduction="none")
    return _masked_mean(each.view_as(target), region_valid)


def position_loss(logits: Tensor, target: Tensor, patch_valid: Tensor) -> Tensor:
    """Binary cross-entropy of which patches are masked, mean over valid patches.

    Args:
        logits: ``(B, R, n)``.
        target: bool (or 0 and 1) ``(B, R, n)``, True = masked.
        patch_valid: bool ``(B, R, n)``, True = counts.

    Returns:
        Scalar, fp32 or wider; 0 with graph when no patch is valid.

    Raises:
        ValueError: for shapes or a dtype other than these.
    """
    _check_shape("target", target, tuple(logits.shape))
    _check_mask("patch_valid", patch_valid, tuple(logits.shape))
    wide = _wide(logits)
    return _masked_mean(
        F.binary_cross_entropy_with_logits(wide, target.to(wide.dtype), reduction="none"), patch_valid
    )


def consistency_loss(
    count_logits: Tensor, position_logits: Tensor, region_valid: Tensor, patch_valid: Tensor
) -> Tensor:
    """Squared difference of the two heads' expected counts over n², mean over valid regions.

    Expectations instead of HybridMIM's released argmax and threshold, so that gradients reach both heads.

    Args:
        count_logits: ``(B, R, n + 1)``.
        position_logits: ``(B, R, n)``.
        region_valid: bool ``(B, R)``, True = counts.
        patch_valid: bool ``(B, R, n)``; patches that are not valid do not enter the sum.

    Returns:
        Scalar, fp32 or wider, in [0, 1]; 0 with graph when no region is valid.

    Raises:
        ValueError: for shapes or a dtype other than these.
    """
    n = position_logits.shape[-1]
    _check_shape("count_logits", count_logits, (*position_logits.shape[:2], n + 1))
    _check_mask("region_valid", region_valid, tuple(position_logits.shape[:2]))
    _check_mask("patch_valid", patch_valid, tuple(position_logits.shape))
    shares = _wide(count_logits).softmax(dim=-1)
    counted = (shares * torch.arange(n + 1, device=shares.device, dtype=shares.dtype)).sum(dim=-1)
    placed = _wide(position_logits).sigmoid().masked_fill(~patch_valid, 0).sum(dim=-1)
    return _masked_mean((counted - placed).square() / n**2, region_valid)


def _masked_mean(each: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``each`` where the bool ``mask`` of the same shape is True; 0 with graph when it nowhere is."""
    return each.masked_fill(~mask, 0).sum() / mask.sum().clamp(min=1)


def _wide(t: Tensor) -> Tensor:
    """Return ``t`` in fp32, or in fp64 when it is that already."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _check_shape(name: str, t: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(t.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(t.shape)}; the prediction asks for {shape}.")


def _check_mask(name: str, t: Tensor, shape: tuple[int, ...]) -> None:
    _check_shape(name, t, shape)
    if t.dtype != torch.bool:
        raise ValueError(f"{name} must be bool, found {t.dtype}.")
