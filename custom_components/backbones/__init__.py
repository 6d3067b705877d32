"""How a network is cut into stages: ``encode``, ``encode_second_view`` and ``decode`` (any window of it)."""

from .adapt import BACKBONES, adapt, register
from .base import Backbone, Encoded, StageHook, Window
from .merging import PatchMergingMonai09, PatchMergingSuPreM
from .tokens import fix_sincos_positions
from .unetr import UNETRBackbone
from .unetr_patch8 import UNETRPatch8

__all__ = ["BACKBONES", "Backbone", "Encoded", "StageHook", "UNETRBackbone", "UNETRPatch8", "Window", "adapt"]
__all__ += ["PatchMergingMonai09", "PatchMergingSuPreM", "fix_sincos_positions", "register"]
