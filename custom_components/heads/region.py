"""Heads that predict something about each region (HybridMIM's patch-masking perception, arXiv 2303.10333)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_components.averages import masked_mean


def region_pool(bottleneck: Tensor, cells_per_region: Sequence[int], valid: Tensor | None = None) -> Tensor:
    """Average the valid bottleneck cells that lie under each region's cube.

    Args:
        bottleneck: ``(B, F, d, h, w)``.
        cells_per_region: cells along each axis of a region: region size divided by the backbone's stride.
        valid: bool ``(B, 1, d, h, w)``, False for cells that cover only padding; None: all cells count.

    Returns:
        ``(B, R, F)``, regions in C order; 0 for a region without a valid cell.

    Raises:
        ValueError: if the bottleneck is not a multiple of the region's cells.
    """
    cells, shape = tuple(int(c) for c in cells_per_region), tuple(bottleneck.shape[2:])
    fits = len(cells) == len(shape) == 3 and all(c > 0 and s % c == 0 for s, c in zip(shape, cells, strict=True))
    if not fits:
        raise ValueError(f"a bottleneck of {shape} cells is not a multiple of a region of {cells} cells")
    (d, h, w), (cd, ch, cw) = shape, cells
    # axes: B, F, region d, cell d, region h, cell h, region w, cell w -> mean over the cells of a region
    blocks = (d // cd, cd, h // ch, ch, w // cw, cw)
    split = bottleneck.reshape(*bottleneck.shape[:2], *blocks)
    where = None if valid is None else valid.reshape(valid.shape[0], 1, *blocks)
    return masked_mean(split, where, (3, 5, 7)).flatten(2).transpose(1, 2)


class MaskCountHead(nn.Module):
    """Predicts how many patches of a region are masked: one class for each of 0…n.

    Args:
        in_features: features F of a region.
        patches_per_region: patches n in a region.
    """

    def __init__(self, in_features: int, patches_per_region: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, patches_per_region + 1)

    def forward(self, regions: Tensor) -> Tensor:
        """Map ``(B, R, F)`` to logits ``(B, R, n + 1)``; class k means k masked patches."""
        return self.linear(regions)


class MaskPositionHead(nn.Module):
    """Predicts which patches of a region are masked: one logit for each patch.

    Args:
        in_features: features F of a region.
        patches_per_region: patches n in a region.
    """

    def __init__(self, in_features: int, patches_per_region: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, patches_per_region)

    def forward(self, regions: Tensor) -> Tensor:
        """Map ``(B, R, F)`` to logits ``(B, R, n)``, patches in C order inside their region."""
        return self.linear(regions)
