"""How one MONAI network is cut into stages: ``encode``, ``encode_again`` and ``decode`` (any window of it)."""

from .adapt import BACKBONES, adapt, register
from .base import Backbone, Drop, Encoded, Window
from .convolutional import BasicUNetBackbone, SegResNetBackbone
from .swin import SwinUNETRBackbone
from .unetr import UNETRBackbone

__all__ = [
    "BACKBONES",
    "Backbone",
    "BasicUNetBackbone",
    "Drop",
    "Encoded",
    "SegResNetBackbone",
    "SwinUNETRBackbone",
    "UNETRBackbone",
    "Window",
    "adapt",
    "register",
]
