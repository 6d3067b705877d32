"""MAE: the encoder sees visible tokens only, a light decoder reconstructs the masked ones (arXiv 2111.06377)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from monai.networks.blocks.transformerblock import TransformerBlock
from torch import Tensor, nn

from custom_components.backbones import UNETRBackbone, adapt
from custom_components.heads import PatchHead
from custom_components.masking import flatten_grid

from .base import all_valid
from .corruption import InputCorruption
from .masked import TokenReconstruction


class TokenDecoder(nn.Module):
    """MAE's decoder: encoded tokens at their places, a learned token at the others, then transformer blocks.

    Args:
        in_features: features of an encoded token.
        grid: tokens along each axis of the crop.
        width: features of a token in the decoder.
        depth: number of blocks.
        heads: attention heads; ``width`` is a multiple of it.
        positions: ``"learned"`` or ``"sincos"`` (not trained; ``width`` is a multiple of 6).

    Raises:
        ValueError: if the numbers do not fit together.
    """

    def __init__(
        self, in_features: int, grid: Sequence[int], width: int, depth: int, heads: int, positions: str
    ) -> None:
        super().__init__()
        if depth < 1 or heads < 1 or width < 1 or width % heads:
            raise ValueError(
                f"the decoder has decoder_width {width}, decoder_depth {depth} and decoder_heads {heads}; "
                "allowed: whole numbers from 1, the width a multiple of the heads"
            )
        if positions == "sincos" and width % 6:
            raise ValueError(f"decoder_width is {width}; positions 'sincos' need a multiple of 6")
        self.embed = nn.Linear(in_features, width)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.token, std=0.02)
        if positions == "sincos":
            self.positions = build_sincos_position_embedding(list(grid), width)
        else:
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.zeros(1, prod(grid), width), std=0.02))
        self.blocks = nn.ModuleList(TransformerBlock(width, 4 * width, heads) for _ in range(depth))
        for block in self.blocks:
            block.get_submodule("norm_cross_attn").requires_grad_(False)  # MONAI builds it but never uses it
        self.norm = nn.LayerNorm(width)

    def forward(self, encoded: Tensor, keep: Tensor, present: Tensor | None) -> Tensor:
        """Map visible tokens ``(B, L, F)`` to all tokens ``(B, N, width)``.

        Args:
            encoded: the encoded visible tokens.
            keep: long ``(B, L)``, their places among all N tokens, each place at most once per sample.
            present: bool ``(B, L)``, False for entries that only fill a sample up to L; None: all are tokens.
        """
        visible = self.embed(encoded)
        masked = self.token.to(visible.dtype)
        if present is not None:
            visible = torch.where(present[..., None], visible, masked)
        tokens = masked.expand(visible.shape[0], self.positions.shape[1], -1)
        tokens = tokens.scatter(1, keep[..., None].expand_as(visible), visible) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class MAE(TokenReconstruction):
    """The pretext network around a UNETR, whose ``vit`` is the encoder and keeps its parameter names.

    The encoder runs on the visible tokens only, so its cost falls with the mask ratio. Padding is visible, as in
    segmentation. If the samples of a batch show different numbers of tokens, the shorter ones are filled up with
    tokens that attention ignores. UNETR's convolutions are not trained.

    Args:
        network: UNETR or UNETRPatch8 with ``out_channels == in_channels``.
        patch_size: voxels per side of a patch, a multiple of the network's token.
        decoder_width: features of a token in the decoder; published: 512.
        decoder_depth: transformer blocks of the decoder; published: 8; light: 1.
        decoder_heads: attention heads of the decoder.
        positions: ``"learned"``, or ``"sincos"`` (fixed), in encoder and decoder.
        normalize_targets: see `MaskedReconstruction`.
        corruption: see `MaskedReconstruction`.

    Raises:
        ValueError: if network, sizes or positions do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        decoder_width: int = 768,
        decoder_depth: int = 1,
        decoder_heads: int = 12,
        positions: str = "learned",
        normalize_targets: bool = False,
        corruption: InputCorruption | None = None,
    ) -> None:
        if not isinstance(adapt(network), UNETRBackbone):
            raise ValueError(
                f"MAE needs a UNETR encoder, found {type(network).__name__}; allowed: UNETR, UNETRPatch8. "
                "For other networks use DenseMAE, or SimMIM for SwinUNETR"
            )
        super().__init__(network, patch_size, positions, normalize_targets, corruption)
        self.grid = tuple(side // self.token_size for side in self.backbone.crop_size or ())
        features = self.backbone.bottleneck_channels
        self.decoder = TokenDecoder(features, self.grid, decoder_width, decoder_depth, decoder_heads, positions)
        self.head = PatchHead(decoder_width, self.backbone.in_channels, self.token_size)

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Reconstruct the masked patches.

        Args:
            image: ``(B, C, D, H, W)``, the network's crop.
            mask: bool ``(B, 1, gd, gh, gw)`` on the grid of patches, True = masked.
            valid: bool ``(B, 1, D, H, W)`` on voxels, True = counts; None: all voxels count.

        Returns:
            See `with_targets`.

        Raises:
            ValueError: for shapes that do not fit.
        """
        valid = all_valid(image, valid)
        keep, present = visible_tokens(flatten_grid(self.token_mask(image, mask)))
        attended = None
        if present is not None:
            # Softmax over zero keys is NaN, so a fully masked sample attends to one dummy token; the decoder goes
            # by `present` and ignores it.
            attended = present.clone()
            attended[:, 0] = True
        assert isinstance(self.backbone, UNETRBackbone)  # __init__ has checked it
        encoded = self.backbone.encode_visible(self.corruption(image, valid), keep, attended)
        reconstruction = self.head(self.decoder(encoded, keep, present), self.grid)
        return self.with_targets(reconstruction, image, mask, valid)


def visible_tokens(masked: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the places of the tokens that the encoder sees.

    Args:
        masked: bool ``(B, N)``.

    Returns:
        ``keep``, long ``(B, L)``: places of the visible tokens in ascending order. L is the largest number in any
        sample, at least 1. ``present``, bool ``(B, L)``: False for entries that only fill up a shorter sample;
        None if there are none.
    """
    number = (~masked).sum(dim=1)
    fewest, most = torch.stack(torch.aminmax(number)).tolist()  # one transfer: the host waits for the device once
    length = max(most, 1)
    keep = masked.to(torch.uint8).argsort(dim=1, stable=True)[:, :length]
    if fewest == length:
        return keep, None
    return keep, torch.arange(length, device=masked.device) < number[:, None]
