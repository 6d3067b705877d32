"""What stands in the hidden voxels: zeros, the mean, noise, or a learned patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from custom_components.masking.grid import mask_to_voxels, patch_grid, to_3tuple

FILLS = ("zero", "mean", "noise", "learned")
"""Names that :func:`fill_masked` knows."""


def fill_masked(
    image: Tensor,
    mask: Tensor,
    patch_size: int | Sequence[int],
    fill: str = "zero",
    token: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Replace the masked patches of an image; voxels that are not masked stay bit-exact.

    Args:
        image: ``(B, C, D, H, W)``, floating point, any intensity range.
        mask: bool ``(B, 1, gd, gh, gw)``, True = masked.
        patch_size: voxels along each axis of a patch.
        fill: "zero"; "mean", of the visible valid voxels of each sample and channel; "noise", normal with
            that mean and their standard deviation, from torch's global generator; "learned", the ``token``.
        token: ``(1, C, pd, ph, pw)``, the learned patch; gradients reach it.
        valid: bool ``(B, 1, D, H, W)``, True = counts; None means that every voxel does.

    Returns:
        A new tensor like ``image``. Where a sample shows no valid voxel, its mean and deviation are 0.

    Raises:
        ValueError: for an unknown fill, shapes that do not go together, or a learned fill without a token.
    """
    if fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}; found {fill!r}.")
    grid = patch_grid(image.shape[2:], patch_size)
    if tuple(mask.shape) != (image.shape[0], 1, *grid):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; an image of {tuple(image.shape)} in patches of "
            f"{to_3tuple(patch_size)} needs {(image.shape[0], 1, *grid)}."
        )
    hidden = mask_to_voxels(mask.bool(), patch_size)
    if fill == "zero":
        return image.masked_fill(hidden, 0)
    if fill == "learned":
        return torch.where(hidden, _tile(token, image, patch_size), image)
    visible = ~hidden if valid is None else ~hidden & valid.bool()
    mean, deviation = _statistics(image, visible)
    if fill == "mean":
        return torch.where(hidden, mean.to(image.dtype), image)
    return torch.where(hidden, mean.to(image.dtype) + deviation.to(image.dtype) * torch.randn_like(image), image)


def _tile(token: Tensor | None, image: Tensor, patch_size: int | Sequence[int]) -> Tensor:
    """Lay the learned patch over the whole grid: ``(1, C, pd, ph, pw)`` to ``(1, C, D, H, W)``."""
    wanted = (1, image.shape[1], *to_3tuple(patch_size))
    if token is None or tuple(token.shape) != wanted:
        found = None if token is None else tuple(token.shape)
        raise ValueError(f"fill 'learned' needs a token of shape {wanted}, found {found}.")
    return token.to(image.dtype).repeat(1, 1, *patch_grid(image.shape[2:], patch_size))


def _statistics(image: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(B, C, 1, 1, 1)`` over the visible voxels; 0 without any."""
    # In at least single precision: half precision cannot count the voxels of a crop.
    voxels = image.to(torch.promote_types(image.dtype, torch.float32))
    number = visible.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
    mean = voxels.masked_fill(~visible, 0).sum(dim=(2, 3, 4), keepdim=True) / number
    apart = (voxels - mean).masked_fill(~visible, 0)
    return mean, (apart.square().sum(dim=(2, 3, 4), keepdim=True) / number).sqrt()
