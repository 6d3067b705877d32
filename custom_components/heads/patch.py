"""The reconstruction head: one linear layer from a token's features to the voxels of its patch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from custom_components.masking.grid import to_3tuple
from custom_components.masking.patches import unpatchify


class PatchHead(nn.Module):
    """Linear layer per token (MAE, arXiv 2111.06377; SimMIM, arXiv 2111.09886).

    Args:
        in_features: features F of a token.
        channels: image channels C.
        patch_size: voxels along each axis that one token reconstructs.
    """

    def __init__(self, in_features: int, channels: int, patch_size: int | Sequence[int]) -> None:
        super().__init__()
        self.patch_size = to_3tuple(patch_size, "patch_size")
        self.linear = nn.Linear(in_features, channels * prod(self.patch_size))

    def forward(self, tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Map tokens ``(B, N, F)`` in C order of ``grid = (gd, gh, gw)`` to ``(B, C, gd*pd, gh*ph, gw*pw)``.

        Within a patch the layer's outputs are in C order of ``(C, pd, ph, pw)``.
        """
        return unpatchify(self.linear(tokens), grid, self.patch_size)

    def from_cells(self, cells: Tensor) -> Tensor:
        """Map a bottleneck ``(B, F, gd, gh, gw)`` to ``(B, C, gd*pd, gh*ph, gw*pw)``."""
        return self(cells.flatten(2).transpose(1, 2), cells.shape[2:])
