"""The head that describes a whole crop, for contrast between crops."""

from __future__ import annotations

from torch import Tensor, nn


class ContrastHead(nn.Module):
    """Mean of the bottleneck over space, then one linear layer (HybridMIM, arXiv 2303.10333: 384 outputs).

    Args:
        in_features: features F of the bottleneck.
        out_features: length P of the description; it is not normalised here, the loss does that.
    """

    def __init__(self, in_features: int, out_features: int = 384) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Map ``(B, F, d, h, w)`` to ``(B, P)``."""
        return self.linear(bottleneck.mean(dim=(2, 3, 4)))
