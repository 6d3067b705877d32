"""Whether the features of different volumes differ: a sign of collapse while pretraining runs."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.networks.utils import eval_mode
from torch import Tensor

from custom_components.distributed import gather_objects
from custom_components.metrics import effective_rank
from custom_components.pretext import pooled_bottleneck


class FeatureRank:
    """Add ``val_effective_rank`` to an evaluator's metrics, see `custom_components.metrics.effective_rank`.

    The features are the encoder's bottleneck on the unmasked validation crops, averaged over valid cells. With
    fewer than two volumes there is no value. Attach it before the handlers that read the metrics.
    """

    def __init__(self) -> None:
        self._features: list[Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Attach to a `PretrainEvaluator`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._encode)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._measure)

    def _forget(self, engine: Engine) -> None:
        self._features = []

    def _encode(self, engine: Any) -> None:
        # The validity of the image, or of the first view, is the third entry in both cases.
        image, _, valid, *_ = engine.state.last_batch
        with eval_mode(engine.network):
            self._features.append(pooled_bottleneck(engine.network, image, valid.bool()).float().cpu())

    def _measure(self, engine: Any) -> None:
        features = torch.cat([part for parts in gather_objects(self._features) for part in parts])
        if len(features) > 1:
            engine.state.metrics["val_effective_rank"] = effective_rank(features)
