"""Dropout between named encoder stages, which makes two views of one crop."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import dropout

from custom_components.backbones import Backbone
from custom_components.number_checks import check_number


class StageDropout:
    """Element-wise dropout between a named stage and the next one; skip connections see the undropped output.

    Args:
        backbone: the backbone with these stages.
        rate: probability that an element is set to zero, in [0, 1).
        stages: names of the stages whose output is dropped; None: all but the first, which has the largest output
            and is shared by both views.

    Raises:
        ValueError: for a rate outside [0, 1), or a name that is not a stage of this backbone.
    """

    def __init__(self, backbone: Backbone, rate: float = 0.1, stages: Sequence[str] | None = None) -> None:
        check_number(rate, "dropout", at_least=0, below=1)
        chosen = backbone.stages[1:] if stages is None else tuple(stages)
        unknown = [name for name in chosen if name not in backbone.stages]
        if unknown:
            raise ValueError(
                f"dropout_stages {unknown} are not stages of {type(backbone.net).__name__}; "
                f"allowed: {list(backbone.stages)}"
            )
        self.rate = rate
        self.stages = tuple(name for name in backbone.stages if name in chosen)

    @property
    def active(self) -> bool:
        """Whether two passes differ."""
        return self.rate > 0 and bool(self.stages)

    def __call__(self, stage: str, x: Tensor) -> Tensor:
        """Drop elements of ``x`` if its stage is named."""
        return dropout(x, self.rate, training=True) if stage in self.stages else x
