"""SimMIM: masked tokens are encoded with the visible ones; one linear layer reconstructs (arXiv 2111.09886)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_components.heads import PatchHead

from .base import all_valid
from .corruption import InputCorruption
from .masked import TokenReconstruction


class SimMIM(TokenReconstruction):
    """The pretext network around a transformer encoder: UNETR's ``vit`` or SwinUNETR's ``swinViT``.

    A learned token replaces masked tokens after the patch embedding, before positions are added. All tokens are
    encoded. The network's convolutions are not trained. Arguments and errors are those of `TokenReconstruction`.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: Sequence[int] | int = 16,
        positions: str = "learned",
        normalize_targets: bool = False,
        corruption: InputCorruption | None = None,
    ) -> None:
        super().__init__(network, patch_size, positions, normalize_targets, corruption)
        self.token = nn.Parameter(torch.zeros(1, self.backbone.token_channels, 1, 1, 1))
        nn.init.trunc_normal_(self.token, std=0.02)
        self.head = PatchHead(self.backbone.bottleneck_channels, self.backbone.in_channels, self.backbone.stride)

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Reconstruct the masked patches.

        Arguments and outputs are those of `MAE`; each side is a multiple of the patch and the backbone's stride.
        """
        valid, masked = all_valid(image, valid), self.token_mask(image, mask)

        def replace(tokens: Tensor) -> Tensor:
            return torch.where(masked, self.token.to(tokens.dtype), tokens)

        encoded = self.backbone.encode(self.corruption(image, valid), replace=replace)
        reconstruction = self.head.from_cells(encoded.bottleneck)
        return self.with_targets(reconstruction, image, mask, valid)
