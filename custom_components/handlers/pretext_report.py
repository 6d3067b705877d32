"""What an evaluation found, in a file that says what was evaluated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.atomic import write_json
from custom_components.transfer import file_sha256, provenance

logger = logging.getLogger(__name__)


class PretextReport:
    """Write an evaluator's metrics as JSON, with the weights' sha256, versions, commit, machine and given facts.

    Args:
        path: the JSON file.
        weights: the evaluated weights file; ``None``: not recorded.
        facts: seed, list hash, section and whatever else identifies the evaluation.
    """

    def __init__(self, path: str, weights: str | None = None, facts: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.weights = weights
        self.facts = dict(facts or {})

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metrics."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file (rank 0)."""
        if int(getattr(engine.state, "rank", 0)) != 0:
            return
        sha = None if self.weights is None else file_sha256(self.weights)
        metrics = {name: float(value) for name, value in sorted(engine.state.metrics.items())}
        items = int(engine.state.epoch_length or 0)
        found = {"metrics": metrics, "batches": items, "weights_sha256": sha}
        write_json(self.path, {**found, **self.facts, **provenance()})
        logger.info("wrote %s", self.path)
