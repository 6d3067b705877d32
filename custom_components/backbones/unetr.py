"""The plain transformer backbones: MONAI's UNETR, and the variant with smaller tokens."""

from __future__ import annotations

import re
from typing import Any

import torch
from monai.networks.nets.unetr import UNETR
from torch import Tensor
from torch.nn.functional import linear

from custom_components.masking import patchify

from .base import Encoded, Window, crop
from .tokens import TokenBackbone
from .unetr_patch8 import UNETRPatch8

# Fixed in MONAI's class, like the token size: twelve blocks, and the outputs that the decoder reads.
BLOCKS = {
    "vit.blocks.3": range(0, 4),
    "vit.blocks.6": range(4, 7),
    "vit.blocks.9": range(7, 10),
    "vit.blocks.11": range(10, 12),
}


class UNETRBackbone(TokenBackbone):
    """`monai.networks.nets.UNETR` (arXiv 2103.10504): tokens of 16 voxels, twelve transformer blocks, stride 16.

    A stage ends where the decoder reads, and has the name of its last block: ``vit.blocks.6`` runs blocks 4, 5
    and 6. Stage outputs are tokens, laid out as cells ``(B, hidden_size, D / 16, H / 16, W / 16)``. The final
    layer norm turns the last ones into the bottleneck.

    The convolution blocks on the skips (``encoder1`` … ``encoder4``) belong to ``decode``, as in SwinUNETR. The
    decoder's first norm sees eight voxels of each cell, so a window may be a single cell.

    Raises:
        ValueError: for ``proj_type="perceptron"``, whose first weight has no axis for the input channels, and for
            a network of two dimensions.
    """

    stages = ("vit.patch_embedding", *BLOCKS)
    strides = (16,) * 5
    encoder_prefixes = ("vit.",)
    output_layer = "out"
    position_keys = ("vit.patch_embedding.position_embeddings",)
    #: The decoder's steps from the bottleneck on: decoder block, skip block, and the stage that the skip reads.
    steps: tuple[tuple[str, str, str], ...] = (
        ("decoder5", "encoder4", "vit.blocks.9"),
        ("decoder4", "encoder3", "vit.blocks.6"),
        ("decoder3", "encoder2", "vit.blocks.3"),
    )

    def __init__(self, net: UNETR | UNETRPatch8) -> None:
        embedding = net.vit.patch_embedding
        if embedding.proj_type != "conv" or len(net.feat_size) != 3:
            raise ValueError(
                f"{type(net).__name__} has proj_type {embedding.proj_type!r} and {len(net.feat_size)} "
                "spatial_dims; allowed: proj_type 'conv' with spatial_dims 3"
            )
        self.net: UNETR | UNETRPatch8 = net
        depth, height, width = (cells * self.stride for cells in net.feat_size)
        self.crop_size = depth, height, width
        names = [name for name, _ in net.named_parameters()]
        # encoder1 has no conv3 where feature_size is the number of input channels.
        input_convs = (
            "vit.patch_embedding.patch_embeddings.weight",
            "encoder1.layer.conv1.conv.weight",
            "encoder1.layer.conv3.conv.weight",
        )
        self.input_convs = tuple(name for name in input_convs if name in names)
        # MONAI builds a norm for cross-attention into every block, even without cross-attention.
        self.unused_parameters = tuple(name for name in names if ".norm_cross_attn." in name)

    @property
    def bottleneck_channels(self) -> int:  # noqa: D102
        return int(self.net.hidden_size)

    def project(self, image: Tensor) -> Tensor:  # noqa: D102
        # Without this check, another crop with as many tokens would pass, its voxels in the wrong places.
        self.check_crop("image", image.shape[2:])
        return self.net.vit.patch_embedding.patch_embeddings(image)

    def add_positions(self, cells: Tensor) -> Tensor:  # noqa: D102
        embedding = self.net.vit.patch_embedding
        return self._cells(embedding.dropout(_tokens(cells) + embedding.position_embeddings))

    def run_stage(self, name: str, x: Tensor) -> Tensor:  # noqa: D102
        if name == "vit.patch_embedding":
            return self.add_positions(self.project(x))
        tokens = _tokens(x)
        for number in BLOCKS[name]:
            tokens = self.net.vit.blocks[number](tokens)
        return self._cells(tokens)

    def encode_visible(self, image: Tensor, keep: Tensor, present: Tensor | None = None) -> Tensor:
        """Encode only the given tokens; the cost falls with their number.

        Args:
            image: ``(B, C, D, H, W)``, the network's crop.
            keep: long ``(B, L)``, places of the tokens in C order of their grid.
            present: bool ``(B, L)``, False for entries that only fill a sample up to L. Attention ignores them,
                and their features have no meaning. Each sample needs at least one True. None: all are tokens.

        Returns:
            Features of the tokens ``(B, L, F)``; the bottleneck of `encode` if ``keep`` lists every token.

        Raises:
            ValueError: for a crop, or shapes or types of ``keep`` and ``present``, that do not fit.
        """
        self.check_crop("image", image.shape[2:])
        _check_choice(image, keep, present)
        vit: Any = self.net.vit
        embedding = vit.patch_embedding
        patches = patchify(image, self.stride)
        chosen = patches.gather(1, keep[..., None].expand(-1, -1, patches.shape[2]))
        # A convolution whose stride equals its kernel is a linear layer on each token.
        projection = embedding.patch_embeddings
        tokens = linear(chosen, projection.weight.flatten(1), projection.bias)
        tokens = embedding.dropout(tokens + embedding.position_embeddings[0, keep])
        for block in vit.blocks:
            tokens = block(tokens, attn_mask=present)
        return vit.norm(tokens)

    def bottleneck(self, last: Tensor) -> Tensor:  # noqa: D102
        return self._cells(self.net.vit.norm(_tokens(last)))

    def decode(self, encoded: Encoded, window: Window | None = None) -> Tensor:  # noqa: D102
        x = crop(encoded.bottleneck, window, self.stride).contiguous()
        for decoder, encoder, stage in self.steps:
            skip = crop(encoded.stages[stage], window, self.stride).contiguous()
            x = self.net.get_submodule(decoder)(x, self.net.get_submodule(encoder)(skip))
        x = self.net.decoder2(x, self.net.encoder1(crop(encoded.image, window, 1)))
        return self.net.out(x)

    def depth_of(self, name: str) -> int:  # noqa: D102
        block = re.match(r"vit\.blocks\.(\d+)\.", name)  # a stage has several blocks, each one deeper
        if block:
            return 1 + int(block[1])
        return len(self.net.vit.blocks) if name.startswith("vit.norm.") else 0

    def _cells(self, tokens: Tensor) -> Tensor:
        """View tokens ``(B, N, F)`` as cells ``(B, F, d, h, w)``, without a copy."""
        return tokens.transpose(1, 2).unflatten(2, self.net.feat_size)


class UNETRPatch8Backbone(UNETRBackbone):
    """`UNETRPatch8`: tokens of 8 voxels, stride 8.

    Stages have UNETR's names, so that the same settings name them. The decoder reads no skip after
    ``vit.blocks.6``.
    """

    strides = (8,) * 5
    steps = (("decoder4", "encoder3", "vit.blocks.6"), ("decoder3", "encoder2", "vit.blocks.3"))


def _check_choice(image: Tensor, keep: Tensor, present: Tensor | None) -> None:
    """Check batch, shape and type of the chosen tokens; torch refuses values that are out of range."""
    if keep.dtype != torch.long or keep.ndim != 2 or keep.shape[0] != image.shape[0] or keep.shape[1] == 0:
        raise ValueError(
            f"keep is {keep.dtype} of shape {tuple(keep.shape)}; a batch of {image.shape[0]} needs torch.int64 "
            f"of shape ({image.shape[0]}, L), L from 1"
        )
    if present is not None and (present.dtype != torch.bool or present.shape != keep.shape):
        raise ValueError(
            f"present is {present.dtype} of shape {tuple(present.shape)}; this keep needs torch.bool of shape "
            f"{tuple(keep.shape)}"
        )


def _tokens(cells: Tensor) -> Tensor:
    return cells.flatten(2).transpose(1, 2)
