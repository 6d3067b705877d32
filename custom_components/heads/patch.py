"""The head that paints: one linear layer from a cell's features to the voxels under it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from custom_components.masking.grid import to_3tuple
from custom_components.masking.patches import unpatchify


class PatchHead(nn.Module):
    """Linear layer per cell (MAE, arXiv 2111.06377; SimMIM, arXiv 2111.09886).

    Args:
        in_features: features F of a cell.
        channels: image channels C.
        patch_size: voxels along each axis of a cell's patch.
    """

    def __init__(self, in_features: int, channels: int, patch_size: int | Sequence[int]) -> None:
        super().__init__()
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.linear = nn.Linear(in_features, channels * prod(self.patch_size))

    def forward(self, tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Map cells ``(B, N, F)`` in C order of ``grid = (gd, gh, gw)`` to ``(B, C, gd*pd, gh*ph, gw*pw)``.

        Within a patch the layer's outputs are in C order of ``(C, pd, ph, pw)``.
        """
        return unpatchify(self.linear(tokens), grid, self.patch_size)
