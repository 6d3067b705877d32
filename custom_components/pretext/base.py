"""What the masked methods share: which networks they take, what of it is trained, and what their outputs hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_components.backbones import Backbone
from custom_components.masking import normalize_patches, patch_grid, to_voxels

POSITIONS = ("learned", "sincos")


def check_reconstructing_channels(backbone: Backbone) -> None:
    """Refuse a network that does not write as many channels as it reads.

    Raises:
        ValueError: naming both numbers.
    """
    channels = backbone.in_channels, backbone.out_channels
    if channels[0] != channels[1]:
        raise ValueError(
            f"the pretraining network has in_channels {channels[0]} and out_channels {channels[1]}; "
            "they must be equal: its last layer reconstructs the image"
        )


def check_units(backbone: Backbone, patch_size: Sequence[int]) -> None:
    """Refuse masked units that do not consist of whole tokens.

    Raises:
        ValueError: for a network without tokens, or naming both sizes.
    """
    name, token = type(backbone.net).__name__, backbone.strides[0]
    if not backbone.takes_tokens:
        raise ValueError(f"{name} has no tokens; this method needs UNETR, UNETRPatch8 or, for SimMIM, SwinUNETR")
    if any(side % token for side in patch_size):
        raise ValueError(f"patch_size {tuple(patch_size)} is not a multiple of {name}'s token of {token} voxels")


def freeze_all_but(network: nn.Module, backbone: Backbone, trained: tuple[str, ...]) -> None:
    """Take the gradient off what no term reaches, as DistributedDataParallel asks; it is saved all the same.

    Args:
        network: the segmentation network.
        backbone: its adapter, which knows parameters that are never read.
        trained: state-dict prefixes of what is trained; ``("",)`` is everything.
    """
    for name, parameter in network.named_parameters():
        if not name.startswith(trained) or name in backbone.idle:
            parameter.requires_grad_(False)


def all_valid(image: Tensor, valid: Tensor | None) -> Tensor:
    """The map of voxels that count, bool ``(B, 1, D, H, W)``; all of them where none is given."""
    return torch.ones_like(image[:, :1], dtype=torch.bool) if valid is None else valid.bool()


def token_mask(image: Tensor, mask: Tensor, patch_size: Sequence[int], token: int) -> Tensor:
    """Spread the mask of units over their tokens: ``(B, 1, gd, gh, gw)`` to ``(B, 1, td, th, tw)``.

    Raises:
        ValueError: when the mask is not one of this image in such units.
    """
    wanted = (image.shape[0], 1, *patch_grid(image.shape[2:], patch_size))
    if tuple(mask.shape) != wanted:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; an image of {tuple(image.shape)} in patches of "
            f"{tuple(patch_size)} needs {wanted}."
        )
    return to_voxels(mask.bool(), tuple(side // token for side in patch_size))


def reconstruction_outputs(
    reconstruction: Tensor, image: Tensor, mask: Tensor, valid: Tensor, patch_size: Sequence[int], normalize: bool
) -> dict[str, Tensor]:
    """What the reconstruction loss, scores and pictures read.

    Args:
        reconstruction: ``(B, C, D, H, W)``, in the targets' unit.
        image: the same shape.
        mask: bool ``(B, 1, gd, gh, gw)``, True = hidden.
        valid: bool ``(B, 1, D, H, W)``.
        patch_size: voxels along each axis of a masked unit.
        normalize: whether targets are normalised by unit; then ``painting`` is the reconstruction with the hidden
            unit's own mean and deviation, as MAE's published pictures show it, and ``painting_target`` the image.
    """
    outputs = {
        "reconstruction": reconstruction,
        "reconstruction_target": image,
        "reconstruction_mask": to_voxels(mask.bool(), patch_size) & valid,
    }
    if normalize:
        target = normalize_patches(image, valid, patch_size)
        outputs["reconstruction_target"] = target.image
        outputs["painting"] = reconstruction.detach() * target.deviation + target.mean
        outputs["painting_target"] = image
    return outputs
