"""How a network is cut into stages: ``encode``, ``encode_second_view`` and ``decode`` (any window of it)."""

from .adapt import BACKBONES, adapt, register
from .base import Backbone, Encoded, StageHook, TokenHook, Window
from .convolutional import BasicUNetBackbone, SegResNetBackbone
from .swin import SwinUNETRBackbone
from .tokens import TokenBackbone, fix_sincos_positions
from .unetr import UNETRBackbone, UNETRPatch8Backbone
from .unetr_patch8 import UNETRPatch8

__all__ = [
    "BACKBONES",
    "Backbone",
    "BasicUNetBackbone",
    "Encoded",
    "SegResNetBackbone",
    "StageHook",
    "SwinUNETRBackbone",
    "TokenBackbone",
    "TokenHook",
    "UNETRBackbone",
    "UNETRPatch8",
    "UNETRPatch8Backbone",
    "Window",
    "adapt",
    "fix_sincos_positions",
    "register",
]
