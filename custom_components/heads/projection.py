"""The head between pooled features and the contrast, thrown away after pretraining."""

from __future__ import annotations

from torch import Tensor, nn

from custom_components.heads.sync_batch_norm import SyncBatchNorm1d


class ProjectionHead(nn.Module):
    """Two linear layers with batch norm and a ReLU between, as SimCLR's released code has them (arXiv 2002.05709).

    Pooled features of all crops point nearly the same way at first. Batch norm takes that common part out; without
    it the contrast stays at chance for long. Its batch is both views of all ranks' crops, so that it gives nothing
    away about which view belongs to which.

    Args:
        in_features: pooled features F.
        hidden_features: width of the layer between.
        out_features: length P of the description; it is not normalised here, the loss does that.
    """

    def __init__(self, in_features: int, hidden_features: int = 2048, out_features: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden_features, bias=False),  # batch norm has its own
            SyncBatchNorm1d(hidden_features),
            nn.ReLU(),
            nn.Linear(hidden_features, out_features),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, F)`` to ``(B, P)``; in training B is 2 or more, both views of each crop."""
        return self.layers(features)
