"""Result files, as the tests of the numbers in documents read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def pages() -> str:
    """The text of the pages that state what studies found."""
    return "\n".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("choosing.md", "results.md"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def difference(row: dict[str, str]) -> str:
    """The difference in Dice and its interval, as documents state them."""
    return f"{float(row['difference']):+.3f} ({float(row['low']):+.3f} to {float(row['high']):+.3f})"


def clear(row: dict[str, str]) -> bool:
    """Whether an arm is clearly higher than its reference, as the report of a study calls it."""
    return float(row["low"]) > 0 and float(row["p_holm"]) < 0.05


def clearly_lower(row: dict[str, str]) -> bool:
    return float(row["high"]) < 0 and float(row["p_holm"]) < 0.05


def share_of_steps(row: dict[str, str]) -> float:
    """The share of the reference's steps after which an arm reached its end."""
    return int(row["steps_to_reference"]) / int(row["reference_steps"])
