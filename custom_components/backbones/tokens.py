"""The base class of transformer backbones, whose first stage embeds tokens and adds their positions."""

from __future__ import annotations

from abc import abstractmethod

import torch
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from torch import Tensor

from .base import Backbone, TokenHook


class TokenBackbone(Backbone):
    """A backbone whose first stage projects tokens of ``strides[0]`` voxels per side."""

    takes_tokens = True

    @abstractmethod
    def project(self, image: Tensor) -> Tensor:
        """Project ``(B, C, D, H, W)`` to tokens ``(B, F, d, h, w)``, without positions and dropout."""

    @abstractmethod
    def add_positions(self, cells: Tensor) -> Tensor:
        """Finish the first stage: add positions to the projected tokens, then dropout."""

    def embed(self, image: Tensor, replace: TokenHook) -> Tensor:
        """Run the first stage, with ``replace`` applied between `project` and `add_positions`."""
        cells = self.project(image)
        replaced = replace(cells)
        if replaced.shape != cells.shape:
            raise ValueError(
                f"replace returned {tuple(replaced.shape)} for tokens of shape {tuple(cells.shape)}; "
                "allowed: the same shape"
            )
        return self.add_positions(replaced)


def fix_sincos_positions(backbone: Backbone) -> None:
    """Fill the position embeddings with sines and cosines of each token's place, and freeze them.

    Raises:
        ValueError: for a network without position embeddings, or with features that are not a multiple of 6 (a
            sine and a cosine for each of three axes).
    """
    name = type(backbone.net).__name__
    if not backbone.position_keys or backbone.crop_size is None:
        raise ValueError(f"{name} has no position embeddings; positions 'sincos' need UNETR or UNETRPatch8")
    grid = [side // backbone.strides[0] for side in backbone.crop_size]
    parameters = [backbone.net.get_parameter(key) for key in backbone.position_keys]
    for parameter in parameters:
        if parameter.shape[-1] % 6:
            raise ValueError(
                f"{name} has hidden_size {parameter.shape[-1]}; positions 'sincos' need a multiple of 6"
            )
    for parameter in parameters:
        with torch.no_grad():
            parameter.copy_(build_sincos_position_embedding(grid, parameter.shape[-1]))
        parameter.requires_grad_(False)
