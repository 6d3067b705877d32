"""What the methods share: which networks they take, what of it is trained, and which voxels count."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_components.backbones import Backbone


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


def freeze_all_but(network: nn.Module, backbone: Backbone, trained: tuple[str, ...]) -> None:
    """Take the gradient off what no term reaches, as DistributedDataParallel asks; it is saved all the same.

    Args:
        network: the segmentation network.
        backbone: its adapter, which knows parameters that are never read.
        trained: state-dict prefixes of what is trained; ``("",)`` is everything.
    """
    for name, parameter in network.named_parameters():
        if not name.startswith(trained) or name in backbone.unused_parameters:
            parameter.requires_grad_(False)


def all_valid(image: Tensor, valid: Tensor | None) -> Tensor:
    """The map of voxels that count, bool ``(B, 1, D, H, W)``; all of them where none is given."""
    return torch.ones_like(image[:, :1], dtype=torch.bool) if valid is None else valid.bool()
