"""The head that describes a whole crop by one vector, for contrast between crops."""

from __future__ import annotations

from torch import Tensor, nn

from custom_components.averages import masked_mean


class ContrastHead(nn.Module):
    """Mean of the valid bottleneck cells, then one linear layer (HybridMIM, arXiv 2303.10333: 384 outputs).

    Pooling over padding would leak the amount of padding, a shortcut for the contrastive task.

    Args:
        in_features: features F of the bottleneck.
        out_features: length P of the output vector. The loss normalises it, not the head.
    """

    def __init__(self, in_features: int, out_features: int = 384) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, bottleneck: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map ``(B, F, d, h, w)`` to ``(B, P)``; bool ``valid`` ``(B, 1, d, h, w)`` marks cells that count."""
        return self.linear(masked_mean(bottleneck, valid, (2, 3, 4)))
