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


def adapt(network: nn.Module, subclasses: bool = False) -> Backbone:
    """Return the adapter of a network.

    Args:
        network: the network, without wrappers such as DistributedDataParallel.
        subclasses: whether subclasses of the known classes are allowed. The names in their adapters are right, but
            a subclass may have changed ``forward``, and then its stages are wrong without any error.

    Raises:
        ValueError: for an unknown class, or for arguments of a known one that cannot be cut into stages.
    """
    allowed = type(network).__mro__ if subclasses else (type(network),)
    found = next((cls for cls in allowed if cls in BACKBONES), None)
    if found is None:
        known = ", ".join(sorted(cls.__name__ for cls in BACKBONES))
        raise ValueError(f"no backbone adapter for {type(network).__name__}; known networks: {known}")
    return BACKBONES[found](network)
