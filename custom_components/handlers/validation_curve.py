"""The metrics of every validation of a run, as one table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.atomic import write_csv
from custom_components.distributed import rank

#: File name of the table in the folder of a run's output.
CURVE = "validation_curve.csv"


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Read the table: one row per validation with ``epoch`` (int) and metrics (float, None if not measured).

    Returns:
        The rows; none if there is no such file.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {key: int(value) if key == "epoch" else float(value) if value else None for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


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
            self._rows = [row for row in read_curve(self.path) if row["epoch"] < epoch] if self.resume else []
        self._rows.append({"epoch": epoch, **{name: float(value) for name, value in sorted(metrics.items())}})
        write_csv(self.path, self._rows)
