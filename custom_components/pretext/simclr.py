"""SimCLR: two augmented views of a volume agree, different volumes do not (arXiv 2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_components.backbones import adapt
from custom_components.heads import ProjectionHead
from custom_components.heads.pool import masked_mean
from custom_components.masking import valid_patches

from .base import all_valid, freeze_all_but


class SimCLR(nn.Module):
    """The contrastive baseline of MIM-Med3D (arXiv 2204.11716) on any backbone.

    The encoder's bottleneck is averaged over the cells that hold a valid voxel: how much of a crop is padding
    tells volumes apart. The network's decoder is not trained.

    Args:
        network: any backbone.
        projection_width: width of the projection's hidden layer.
        projection_features: length P of what is contrasted.

    Raises:
        ValueError: for a network that ``backbones`` does not know, or sizes below 1.
    """

    terms = frozenset({"contrast"})

    def __init__(self, network: nn.Module, projection_width: int = 2048, projection_features: int = 128) -> None:
        super().__init__()
        self.network = network
        self.backbone = adapt(network)
        if projection_width < 1 or projection_features < 1:
            raise ValueError(
                f"projection_width is {projection_width} and projection_features {projection_features}; "
                "allowed: whole numbers from 1"
            )
        self.trained = self.backbone.encoder_prefixes
        freeze_all_but(network, self.backbone, self.trained)
        self.head = ProjectionHead(self.backbone.bottleneck_channels, projection_width, projection_features)

    def forward(
        self, view_1: Tensor, view_2: Tensor, valid_1: Tensor | None = None, valid_2: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Describe both views, which go through the encoder together.

        Args:
            view_1: ``(B, C, D, H, W)``, each side a multiple of the backbone's stride.
            view_2: the other view of the same items, same shape.
            valid_1: bool ``(B, 1, D, H, W)``, True = counts; ``None`` means everywhere.
            valid_2: the same for the other view.

        Returns:
            ``view_1`` and ``view_2``, ``(B, P)`` each.

        Raises:
            ValueError: when the views differ in shape.
        """
        if view_1.shape != view_2.shape:
            raise ValueError(f"views have shapes {tuple(view_1.shape)} and {tuple(view_2.shape)}; one is needed")
        valid = torch.cat([all_valid(view_1, valid_1), all_valid(view_2, valid_2)])
        bottleneck = self.backbone.encode(torch.cat([view_1, view_2])).bottleneck
        cells = valid_patches(valid, self.backbone.stride)
        first, second = self.head(masked_mean(bottleneck, cells, (2, 3, 4))).chunk(2)
        return {"view_1": first, "view_2": second}
