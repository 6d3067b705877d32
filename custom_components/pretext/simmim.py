"""SimMIM: mask tokens go through the encoder, one linear layer paints (arXiv 2111.09886)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_components.heads import PatchHead

from .base import all_valid
from .masked import TokenReconstruction, token_mask


class SimMIM(TokenReconstruction):
    """The pretext network around a transformer encoder: UNETR's ``vit`` or SwinUNETR's ``swinViT``.

    Hidden tokens are replaced by a learned one behind the patch embedding, before positions are added; all tokens
    are encoded. The network's convolutions are not trained.

    Args:
        network: UNETR, UNETRPatch8 or SwinUNETR with ``out_channels == in_channels``.
        patch_size: voxels per side of a masked unit, a multiple of the network's token (16, 8 and 2 voxels).
        positions: ``"learned"``, or ``"sincos"``, fixed; SwinUNETR has relative positions of its own: "learned".
        normalize_targets: whether each unit's mean and deviation are taken out of the targets.

    Raises:
        ValueError: where network, sizes or positions do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        positions: str = "learned",
        normalize_targets: bool = False,
    ) -> None:
        super().__init__(network, patch_size, positions, normalize_targets)
        self.token = nn.Parameter(torch.zeros(1, self.backbone.token_channels, 1, 1, 1))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.head = PatchHead(self.backbone.bottleneck_channels, self.backbone.in_channels, self.backbone.stride)

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Paint the hidden tokens; arguments and outputs as `MAE`'s, each side a multiple of unit and stride."""
        valid = all_valid(image, valid)
        hidden = token_mask(image, mask, self.patch_size, self.token_size)

        def replace(cells: Tensor) -> Tensor:
            return torch.where(hidden, self.token.to(cells.dtype), cells)

        cells = self.backbone.encode(image, replace=replace).bottleneck
        painted = self.head(cells.flatten(2).transpose(1, 2), cells.shape[2:])
        return self.outputs(painted, image, mask, valid)
