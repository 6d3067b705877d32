"""The projection between pooled features and the contrast, which is discarded after pretraining."""

from __future__ import annotations

from torch import Tensor, nn

from .sync_batch_norm import SyncBatchNorm1d


class ProjectionHead(nn.Module):
    """Two linear layers with batch norm and ReLU between them, as in SimCLR's released code (arXiv 2002.05709).

    At initialisation all pooled features are nearly parallel. Batch norm removes the common component; without it
    the loss stays at chance for many steps. Its batch is both views of the crops of all ranks, so its statistics
    do not reveal which views belong together.

    Args:
        in_features: pooled features F.
        hidden_features: width of the hidden layer.
        out_features: length P of the output vector. The loss normalises it, not the head.
    """

    def __init__(self, in_features: int, hidden_features: int = 2048, out_features: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden_features, bias=False),  # batch norm adds the bias
            SyncBatchNorm1d(hidden_features),
            nn.ReLU(),
            nn.Linear(hidden_features, out_features),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, F)`` to ``(B, P)``; in training, B counts both views of each crop."""
        return self.layers(features)
