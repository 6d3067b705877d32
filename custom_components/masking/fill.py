"""What replaces masked voxels: zeros, the mean, noise, or a learned patch."""

from __future__ import annotations

import torch
from torch import Tensor

from custom_components.averages import masked_mean_and_deviation
from custom_components.masking.grid import Size, mask_to_voxels, patch_grid, to_3tuple

FILLS = ("zero", "mean", "noise", "learned")
"""Names that `fill_masked` knows."""


def check_fill(fill: str, learned: bool = True) -> None:
    """Raise unless ``fill`` is known; without ``learned``, the pretext network's own fill is refused.

    Raises:
        ValueError: with what was found and what is allowed.
    """
    allowed = [name for name in FILLS if learned or name != "learned"]
    if fill not in allowed:
        reason = " ('learned' is a parameter of the pretext network)" if fill == "learned" else ""
        raise ValueError(f"fill is {fill!r}{reason}; allowed: {', '.join(allowed)}")


def fill_masked(
    image: Tensor,
    mask: Tensor,
    patch_size: Size,
    fill: str = "zero",
    token: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Replace the masked patches of an image; unmasked voxels stay bit-exact.

    Args:
        image: ``(B, C, D, H, W)``, floating point, any intensity range.
        mask: bool ``(B, 1, gd, gh, gw)``, True = masked.
        patch_size: voxels along each axis of a patch.
        fill: "zero"; "mean" of the visible valid voxels of each sample and channel; "noise", normal with that mean
            and their standard deviation, from torch's global generator; "learned", the ``token``.
        token: ``(1, C, pd, ph, pw)``, the learned patch; receives gradients.
        valid: bool ``(B, 1, D, H, W)``, True = valid; None: every voxel is.

    Returns:
        A new tensor like ``image``. Mean and deviation are 0 for a sample without a visible valid voxel.

    Raises:
        ValueError: for an unknown fill, shapes that do not fit, or a learned fill without a token.
    """
    check_fill(fill)
    grid = patch_grid(image.shape[2:], patch_size)
    if tuple(mask.shape) != (image.shape[0], 1, *grid):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; an image of {tuple(image.shape)} in patches of "
            f"{to_3tuple(patch_size)} needs {(image.shape[0], 1, *grid)}"
        )
    masked = mask_to_voxels(mask.bool(), patch_size)
    if fill == "zero":
        return image.masked_fill(masked, 0)
    if fill == "learned":
        return torch.where(masked, _tile(token, image, patch_size), image)
    visible = ~masked if valid is None else ~masked & valid.bool()
    mean, deviation = masked_mean_and_deviation(image, visible)
    if fill == "mean":
        return torch.where(masked, mean.to(image.dtype), image)
    return torch.where(masked, mean.to(image.dtype) + deviation.to(image.dtype) * torch.randn_like(image), image)


def _tile(token: Tensor | None, image: Tensor, patch_size: Size) -> Tensor:
    """Repeat the learned patch over the whole grid: ``(1, C, pd, ph, pw)`` to ``(1, C, D, H, W)``."""
    wanted = (1, image.shape[1], *to_3tuple(patch_size))
    if token is None or tuple(token.shape) != wanted:
        found = None if token is None else tuple(token.shape)
        raise ValueError(f"fill 'learned' needs a token of shape {wanted}, found {found}")
    return token.to(image.dtype).repeat(1, 1, *patch_grid(image.shape[2:], patch_size))
