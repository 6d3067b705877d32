"""Writing what an evaluation of a pretext network measured, and on which weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.atomic import write_json
from custom_components.distributed import rank
from custom_components.transfer import file_sha256, provenance

from .validation_curve import read_curve

logger = logging.getLogger(__name__)


class PretextReport:
    """Write an evaluator's metrics as JSON, with the weights' sha256, versions, commit, machine and given facts.

    Args:
        path: the JSON file.
        weights: the evaluated weights file; None: not recorded.
        facts: what else identifies the evaluation, such as seed, list hash and section.
        curve: the table that `ValidationCurve` wrote while training; its rows are ``validations`` in the report.
            None, or a file that does not exist: no rows.
    """

    def __init__(
        self,
        path: str,
        weights: str | None = None,
        facts: Mapping[str, Any] | None = None,
        curve: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.weights = weights
        self.facts = dict(facts or {})
        self.curve = curve

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metrics."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file on rank 0."""
        if rank() != 0:
            return
        content = {
            "metrics": {name: float(value) for name, value in sorted(engine.state.metrics.items())},
            "batches": int(engine.state.epoch_length or 0),
            "weights_sha256": None if self.weights is None else file_sha256(self.weights),
        }
        curve = [] if self.curve is None else read_curve(Path(self.curve))
        write_json(self.path, {**content, **self.facts, **provenance(), "validations": curve})
        logger.info("wrote %s", self.path)
