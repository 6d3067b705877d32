"""The metrics of every validation of a run, as one table."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.atomic import write_csv
from custom_components.distributed import rank
from custom_components.faults import Fault

logger = logging.getLogger(__name__)
#: File name of the table in the folder of a run's output.
CURVE = "validation_curve.csv"


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read the table: one row per validation with ``epoch`` (int) and metrics (float, None if not measured).

    Returns:
        The rows; none if there is no such file.

    Raises:
        Fault: if the file holds anything else.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{"epoch": int(row.pop("epoch")), **_numbers(row)} for row in csv.DictReader(file)]
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"{path} is not a table of validations ({error}); delete it") from None


def _numbers(row: dict[str, str]) -> dict[str, float | None]:
    return {name: float(value) if value else None for name, value in row.items()}


class ValidationCurve:
    """After each validation, write ``validation_curve.csv``: one row per validation, one column per metric.

    Args:
        output_dir: folder of the file.
        resume: keep the rows of earlier epochs that are there; otherwise the first validation replaces the file.
    """

    def __init__(self, output_dir: str, resume: bool = False) -> None:
        self.path, self.resume = Path(output_dir) / CURVE, resume
        self._rows: list[dict[str, Any]] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metrics and the handlers that add some."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the metrics of this validation."""
        self.add(engine.state.epoch, engine.state.metrics)

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the file with one more row, on rank 0."""
        if rank() != 0:
            return
        if self._rows is None:
            self._rows = [row for row in self._earlier() if row["epoch"] < epoch]
        self._rows.append({"epoch": epoch, **{name: float(value) for name, value in sorted(metrics.items())}})
        write_csv(self.path, self._rows)

    def _earlier(self) -> list[dict[str, Any]]:
        """Return the rows of the run that this one continues; a damaged table must not cost the training."""
        try:
            return read_curve(self.path) if self.resume else []
        except Fault as fault:
            logger.warning("%s. The table starts again with this validation", fault)
            return []
