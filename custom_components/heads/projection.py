"""The head between pooled features and the contrast, thrown away after pretraining."""

from __future__ import annotations

from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """Two linear layers with a ReLU between (SimCLR, arXiv 2002.05709).

    Args:
        in_features: pooled features F.
        hidden_features: width of the layer between.
        out_features: length P of the description; it is not normalised here, the loss does that.
    """

    def __init__(self, in_features: int, hidden_features: int = 2048, out_features: int = 128) -> None:
        super().__init__()
        # No batch norm as in the paper: batches of a few volumes have no statistics worth the name.
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden_features), nn.ReLU(), nn.Linear(hidden_features, out_features)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, F)`` to ``(B, P)``."""
        return self.layers(features)
