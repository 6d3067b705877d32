"""A warning at the end of a pretraining that reconstructs no better than a trivial fill."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

from custom_components.distributed import rank

logger = logging.getLogger(__name__)
#: Share of the error of a Gaussian fill that the network avoids, as the validation calls it.
EXPLAINED = "val_explained_mae_gaussian_fill"


class FillWarning:
    """Warn after the last epoch if masked voxels are reconstructed no better than by a Gaussian fill.

    Such a network has hardly learned what is where, so fine-tuning it may not pay. A method without a
    reconstruction has no such metric, and nothing is said.

    Args:
        evaluator: the run's validation, whose last metrics are read.
    """

    def __init__(self, evaluator: Engine) -> None:
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Warn, on rank 0."""
        share = self.evaluator.state.metrics.get(EXPLAINED)
        if rank() == 0 and share is not None and share <= 0:
            logger.warning(
                "%s is %.3f: masked voxels are reconstructed no better than by a Gaussian fill, so fine-tuning "
                "may not gain. Train longer. If crops differ in brightness, --relative_output True reconstructs "
                "better (HybridMIM, and MAE with a CNN)",
                *(EXPLAINED, share),
            )
