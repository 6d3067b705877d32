"""MAE: the encoder sees visible tokens alone, a light decoder paints the hidden ones (arXiv 2111.06377)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from monai.networks.blocks.transformerblock import TransformerBlock
from torch import Tensor, nn

from custom_components.backbones import UNETRBackbone, adapt
from custom_components.heads import PatchHead
from custom_components.masking import flatten_grid

from .base import all_valid
from .masked import TokenReconstruction, token_mask


class TokenDecoder(nn.Module):
    """MAE's decoder: encoded tokens at their places, a learned token everywhere else, transformer blocks.

    Args:
        in_features: features of an encoded token.
        grid: tokens along each axis of the crop.
        width: features of a token in the decoder.
        depth: number of blocks.
        heads: attention heads; ``width`` is a multiple of it.
        positions: ``"learned"`` or ``"sincos"`` (``width`` a multiple of 6, not trained).

    Raises:
        ValueError: where the numbers do not fit together.
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
            raise ValueError(f"decoder_width {width} is no multiple of 6, which positions 'sincos' needs")
        self.embed = nn.Linear(in_features, width)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.token, std=0.02)
        if positions == "sincos":
            self.positions = build_sincos_position_embedding(list(grid), width)
        else:
            number = grid[0] * grid[1] * grid[2]
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.zeros(1, number, width), std=0.02))
        self.blocks = nn.ModuleList(TransformerBlock(width, 4 * width, heads) for _ in range(depth))
        for block in self.blocks:
            block.get_submodule("norm_cross_attn").requires_grad_(False)  # MONAI builds it and never reads it
        self.norm = nn.LayerNorm(width)

    def forward(self, encoded: Tensor, keep: Tensor, present: Tensor | None) -> Tensor:
        """Map visible tokens ``(B, L, F)`` to all tokens ``(B, N, width)``.

        Args:
            encoded: of the visible tokens.
            keep: long ``(B, L)``, their places among all N tokens, each at most once in a sample.
            present: bool ``(B, L)``, False where a sample has fewer than L; None: all are there.
        """
        visible = self.embed(encoded)
        blank = self.token.to(visible.dtype)
        if present is not None:
            visible = torch.where(present[..., None], visible, blank)
        tokens = blank.expand(visible.shape[0], self.positions.shape[1], -1)
        tokens = tokens.scatter(1, keep[..., None].expand_as(visible), visible) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class MAE(TokenReconstruction):
    """The pretext network around a UNETR: its own ``vit`` is the encoder, so nothing changes its name on the way.

    The encoder runs on the visible tokens alone, its cost falls with the mask ratio. Padding is visible, as it is
    in segmentation. Where samples of a batch show unequal numbers of tokens, the shorter ones are filled up with
    tokens that attention does not see. UNETR's convolutions are not trained.

    Args:
        network: UNETR or UNETRPatch8 with ``out_channels == in_channels``.
        patch_size: voxels per side of a masked unit, a multiple of the network's token.
        decoder_width: features of the decoder; 512 is the published one.
        decoder_depth: transformer blocks of the decoder; 8 in the published one, 1 in the light one.
        decoder_heads: attention heads of the decoder.
        positions: ``"learned"``, or ``"sincos"``, fixed, in encoder and decoder.
        normalize_targets: whether each unit's mean and deviation are taken out of the targets.

    Raises:
        ValueError: where network, sizes or positions do not fit together.
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
    ) -> None:
        if not isinstance(adapt(network), UNETRBackbone):
            raise ValueError(
                f"MAE hides tokens from a UNETR's encoder, found {type(network).__name__}; allowed: UNETR, "
                "UNETRPatch8. Other networks: DenseMAE, or SimMIM for SwinUNETR"
            )
        super().__init__(network, patch_size, positions, normalize_targets)
        self.grid = tuple(side // self.token_size for side in self.backbone.crop_size or ())
        features = self.backbone.bottleneck_channels
        self.decoder = TokenDecoder(features, self.grid, decoder_width, decoder_depth, decoder_heads, positions)
        self.head = PatchHead(decoder_width, self.backbone.in_channels, self.token_size)

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Paint the hidden tokens.

        Args:
            image: ``(B, C, D, H, W)``, the network's crop.
            mask: bool ``(B, 1, gd, gh, gw)`` on the grid of masked units, True = hidden.
            valid: bool ``(B, 1, D, H, W)`` on voxels, True = counts; ``None`` means everywhere.

        Returns:
            What `outputs` says.

        Raises:
            ValueError: for shapes that do not fit.
        """
        valid = all_valid(image, valid)
        keep, present = visible_tokens(flatten_grid(token_mask(image, mask, self.patch_size, self.token_size)))
        attended = None
        if present is not None:  # attention over nothing is not a number: a sample without a visible token sees
            attended = present.clone()  # one, and the decoder, which goes by `present`, takes nothing from it
            attended[:, 0] = True
        assert isinstance(self.backbone, UNETRBackbone)  # as __init__ has seen to
        encoded = self.backbone.encode_visible(image, keep, attended)
        painted = self.head(self.decoder(encoded, keep, present), self.grid)
        return self.outputs(painted, image, mask, valid)


def visible_tokens(hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Say which tokens the encoder sees.

    Args:
        hidden: bool ``(B, N)``.

    Returns:
        ``keep``, long ``(B, L)``: places of the visible tokens in ascending order, L being the most that any
        sample has, at least 1; ``present``, bool ``(B, L)``, False for what only fills a shorter sample up; None
        where nothing does.
    """
    number = (~hidden).sum(dim=1)
    fewest, most = torch.stack(torch.aminmax(number)).tolist()  # one wait for the device
    length = max(most, 1)
    keep = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, :length]
    if fewest == length:
        return keep, None
    return keep, torch.arange(length, device=hidden.device) < number[:, None]
