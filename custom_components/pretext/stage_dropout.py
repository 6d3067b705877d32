"""Dropout between named encoder stages, which makes two views of one crop."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import dropout

from custom_components.backbones import Backbone


class StageDropout:
    """Element-wise dropout on the way from each named stage to the next; skips are taken before it.

    Args:
        backbone: whose stages are named.
        rate: probability of an element to be zeroed, in [0, 1).
        stages: names of the stages whose output is dropped; ``None`` means all but the first one, whose
            output is the largest and which both views then share.

    Raises:
        ValueError: for a rate outside [0, 1) or a name that is no stage of this backbone.
    """

    def __init__(self, backbone: Backbone, rate: float = 0.1, stages: Sequence[str] | None = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"dropout is {rate}; it must be in [0, 1)")
        chosen = backbone.stages[1:] if stages is None else tuple(stages)
        unknown = [name for name in chosen if name not in backbone.stages]
        if unknown:
            raise ValueError(
                f"dropout_stages {unknown} are no stages of {type(backbone.net).__name__}; "
                f"its stages are {list(backbone.stages)}"
            )
        self.rate = rate
        self.stages = tuple(name for name in backbone.stages if name in chosen)

    @property
    def active(self) -> bool:
        """Whether two passes through it differ."""
        return self.rate > 0 and bool(self.stages)

    def __call__(self, stage: str, x: Tensor) -> Tensor:
        """Drop elements of ``x`` if its stage is named."""
        return dropout(x, self.rate, training=True) if stage in self.stages else x
