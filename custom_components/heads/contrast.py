"""The head that describes a whole crop, for contrast between crops."""

from __future__ import annotations

from torch import Tensor, nn

from .pool import masked_mean


class ContrastHead(nn.Module):
    """Mean of the valid bottleneck cells, then one linear layer (HybridMIM, arXiv 2303.10333: 384 outputs).

    Args:
        in_features: features F of the bottleneck.
        out_features: length P of the description; it is not normalised here, the loss does that.
    """

    def __init__(self, in_features: int, out_features: int = 384) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, bottleneck: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map ``(B, F, d, h, w)`` to ``(B, P)``, from the cells marked in ``valid``, bool ``(B, 1, d, h, w)``."""
        return self.linear(masked_mean(bottleneck, valid, (2, 3, 4)))
