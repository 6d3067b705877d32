"""SimCLR: two augmented views of a volume agree, views of different volumes do not (arXiv 2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_components.averages import masked_mean
from custom_components.heads import ProjectionHead
from custom_components.losses import VIEWS
from custom_components.masking import valid_patches
from custom_components.number_checks import check_number

from .base import PretextNetwork, all_valid


class SimCLR(PretextNetwork):
    """The contrastive baseline of MIM-Med3D (arXiv 2204.11716) on any backbone.

    The encoder's bottleneck is averaged over the cells that hold a valid voxel. Pooling over padding would leak
    the amount of padding, a shortcut for the contrastive task. The network's decoder is not trained.

    Args:
        network: any backbone.
        projection_width: width of the projection's hidden layer.
        projection_features: length P of the vectors that are contrasted.

    Raises:
        ValueError: for a network without an adapter, or sizes below 1.
    """

    outputs = VIEWS

    def __init__(self, network: nn.Module, projection_width: int = 2048, projection_features: int = 128) -> None:
        super().__init__(network)
        check_number(projection_width, "projection_width", at_least=1, whole=True)
        check_number(projection_features, "projection_features", at_least=1, whole=True)
        self.train_only(self.backbone.encoder_prefixes)
        self.head = ProjectionHead(self.backbone.bottleneck_channels, projection_width, projection_features)

    def forward(
        self, view_1: Tensor, view_2: Tensor, valid_1: Tensor | None = None, valid_2: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Map each view to a vector; both views go through the encoder together.

        Args:
            view_1: ``(B, C, D, H, W)``, each side a multiple of the backbone's stride.
            view_2: the other view of the same items, same shape.
            valid_1: bool ``(B, 1, D, H, W)``, True = counts; None: all voxels count.
            valid_2: the same for the other view.

        Returns:
            ``view_1`` and ``view_2``, ``(B, P)`` each.

        Raises:
            ValueError: if the views differ in shape.
        """
        if view_1.shape != view_2.shape:
            raise ValueError(
                f"views have shapes {tuple(view_1.shape)} and {tuple(view_2.shape)}; they must be equal"
            )
        valid = torch.cat([all_valid(view_1, valid_1), all_valid(view_2, valid_2)])
        pooled = pooled_bottleneck(self, torch.cat([view_1, view_2]), valid)
        first, second = self.head(pooled).chunk(2)
        return {"view_1": first, "view_2": second}


class PooledFeatures(PretextNetwork):
    """The network's pooled bottleneck, one vector per crop, for inference: retrieval, outliers, a linear probe.

    Args:
        network: any backbone.
    """

    def forward(self, stacked: Tensor) -> Tensor:
        """Map ``(B, C + 1, D, H, W)``, image channels and a map of valid voxels (above 0.5), to ``(B, F)``."""
        return pooled_bottleneck(self, stacked[:, :-1], stacked[:, -1:] > 0.5)


def pooled_bottleneck(pretext: PretextNetwork, image: Tensor, valid: Tensor) -> Tensor:
    """Average the bottleneck over the cells that hold a valid voxel: ``(B, C, D, H, W)`` to ``(B, F)``."""
    bottleneck = pretext.backbone.encode(image).bottleneck
    return masked_mean(bottleneck, valid_patches(valid, pretext.backbone.stride), (2, 3, 4))
