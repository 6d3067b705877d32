"""Finding the adapter of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unetr import UNETR
from torch import nn

from .base import Backbone
from .convolutional import BasicUNetBackbone, SegResNetBackbone
from .swin import SwinUNETRBackbone
from .unetr import UNETRBackbone, UNETRPatch8Backbone
from .unetr_patch8 import UNETRPatch8

#: Network class -> its adapter.
BACKBONES: dict[type[nn.Module], Callable[[Any], Backbone]] = {
    BasicUNet: BasicUNetBackbone,
    SegResNet: SegResNetBackbone,
    SwinUNETR: SwinUNETRBackbone,
    UNETR: UNETRBackbone,
    UNETRPatch8: UNETRPatch8Backbone,
}


def register(network: type[nn.Module], adapter: Callable[[Any], Backbone]) -> None:
    """Register the adapter of another network class (see docs/architecture.md)."""
    BACKBONES[network] = adapter


def adapt(network: nn.Module) -> Backbone:
    """Return the adapter of a network.

    Raises:
        ValueError: for an unknown class, or for arguments of a known one that cannot be cut into stages.
    """
    # The exact class: a subclass may have changed forward, and its stages would then be wrong without any error.
    if type(network) not in BACKBONES:
        known = ", ".join(sorted(cls.__name__ for cls in BACKBONES))
        raise ValueError(f"no backbone adapter for {type(network).__name__}; known networks: {known}")
    return BACKBONES[type(network)](network)
