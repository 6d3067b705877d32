"""A network's pooled bottleneck, one vector per crop: what a contrastive pretraining has trained."""

from __future__ import annotations

from torch import Tensor, nn

from custom_components.backbones import adapt
from custom_components.heads.pool import masked_mean
from custom_components.masking import valid_patches


class PooledFeatures(nn.Module):
    """Mean of the valid bottleneck cells, for inference: retrieval, outlier search, a linear probe.

    Args:
        network: any backbone.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.backbone = adapt(network)

    def forward(self, stacked: Tensor) -> Tensor:
        """Map ``(B, C + 1, D, H, W)``, image channels and a map of valid voxels (over 0.5), to ``(B, F)``."""
        image, valid = stacked[:, :-1], stacked[:, -1:] > 0.5
        bottleneck = self.backbone.encode(image).bottleneck
        return masked_mean(bottleneck, valid_patches(valid, self.backbone.stride), (2, 3, 4))
