"""Scores per case and class on the label files' own grids, written so that a result says where it came from."""

from __future__ import annotations

import csv
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data.meta_tensor import MetaTensor
from tqdm import tqdm

from custom_components.data.layouts import case_id
from custom_components.transfer import file_sha256, provenance, read_card, write_json

from .scores import Row, score_case, summarise

logger = logging.getLogger(__name__)


class EvaluationReport:
    """Write ``cases.csv``, ``summary.csv`` and ``summary.json`` after an evaluator's run.

    The evaluator's postprocessing must leave class numbers, ``(1, D, H, W)``, on the label file's grid: argmax,
    then ``Invertd``; the label is loaded and nothing else done to it. Spacing is read from the label.

    Args:
        output_dir: folder of the files.
        class_names: in the order of their numbers, background first.
        weights: weights file that is evaluated; its sha256 and card go into the summary.
        facts: what else the summary shall say: seed, data-list hash, section.
        percentile: of the Hausdorff distance, in (0, 100].
        pred_key: key of the prediction.
        label_key: key of the label.
        progress: show a bar over the cases.

    Raises:
        ValueError: without a class but the background; in the run, for a prediction that is not on the label's
            grid, or a label that does not know its spacing.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        weights: str | None = None,
        facts: Mapping[str, Any] | None = None,
        percentile: float = 95,
        pred_key: str = "pred",
        label_key: str = "label",
        progress: bool = True,
    ) -> None:
        if len(class_names) < 2:
            raise ValueError(f"class_names is {list(class_names)}; it needs the background and a class")
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.weights = weights
        self.facts = dict(facts or {})
        self.percentile = percentile
        self.pred_key, self.label_key = pred_key, label_key
        self.progress = progress
        self.rows: list[Row] = []
        self._bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self.rows = []
        shown = self.progress and _rank() == 0
        self._bar = tqdm(total=engine.state.epoch_length, desc="evaluate", unit="case", disable=not shown)

    def __call__(self, engine: Engine) -> None:
        """Score the batch's cases."""
        batch: Any = engine.state.output
        for item in batch:
            pred, label = item[self.pred_key], item[self.label_key]
            if not isinstance(label, MetaTensor):
                raise ValueError(f"{self.label_key!r} is a {type(label).__name__}; a MetaTensor knows its spacing")
            name = self._name(item)
            try:
                scored = score_case(pred, label, label.pixdim.tolist(), self.class_names, self.percentile)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            self.rows += [{"case": name, **row} for row in scored]
        self._bar.update()

    def _name(self, item: Mapping[str, Any]) -> str:
        """The file's name, with its folder where another case has the same."""
        path = Path(str(item[self.label_key].meta.get("filename_or_obj", "case")))
        pred_meta = getattr(item[self.pred_key], "meta", {})
        path = Path(str(pred_meta.get("filename_or_obj", path)))
        name = case_id(path.name)
        return name if all(row["case"] != name for row in self.rows) else f"{path.parent.name}/{name}"

    def _finish(self, engine: Engine) -> None:
        self._bar.close()
        rows = _from_all_ranks(self.rows)
        if _rank() != 0 or not rows:
            return
        summary = summarise(rows, self.class_names, f"hd{self.percentile:g}_mm")
        self.output_dir.mkdir(parents=True, exist_ok=True)
        _write_csv(self.output_dir / "cases.csv", rows)
        total: Row = {"class": "all", **summary["all"]}
        per_class = [{"class": name, **values} for name, values in summary["classes"].items()]
        _write_csv(self.output_dir / "summary.csv", [*per_class, total])
        write_json(self.output_dir / "summary.json", {**summary, **self._origin()})
        logger.info("Dice %s over %d cases; written to %s", _told(total), total["cases"], self.output_dir)

    def _origin(self) -> Row:
        """What the scores belong to."""
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        origin: Row = {
            **self.facts,
            "grid": "the label files' own; spacing in mm",
            "dice": "absent from the label: not counted",
            **provenance(),
            "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "gpu": gpu},
        }
        if self.weights is not None:
            origin["weights"] = {"sha256": file_sha256(self.weights), "card": read_card(self.weights)}
        return origin


def _told(total: Row) -> str:
    value, spread = total["dice_mean"], total["dice_sd"]
    return "not measured" if value is None else f"{value:.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows under a temporary name and move them into place; None is left empty."""
    temporary = path.with_name(f".{path.name}.tmp")
    columns = dict.fromkeys(key for row in rows for key in row)
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def _from_all_ranks(rows: list[Row]) -> list[Row]:
    """Every rank's rows; a case that two ranks had comes once."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, rows)
    return list({(row["case"], row["value"]): row for part in parts for row in part}.values())


def _rank() -> int:
    return int(dist.get_rank()) if dist.is_available() and dist.is_initialized() else 0
