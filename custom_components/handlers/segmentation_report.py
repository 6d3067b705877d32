"""Scores per case and class (or region) on the label files' own grids, written with what a result came from."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data.meta_tensor import MetaTensor
from tqdm import tqdm

from custom_components.atomic import write_json
from custom_components.data.layouts import Item, case_id, first_image
from custom_components.metrics.segmentation import Regions, Row, check_score_regions, score_case, summarise
from custom_components.transfer import file_sha256, provenance, read_card

logger = logging.getLogger(__name__)


class SegmentationReport:
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
        regions: name -> class numbers whose union is scored under that name, instead of each class; they may
            overlap (``tumour core: [1, 3]``, ``whole tumour: [1, 2, 3]``). None: each class.
        items: the list's items; a case of several files is then called after all of them, as the list calls it.

    Raises:
        ValueError: without a class but the background, or for a region that is no union of classes; in the run,
            for a prediction that is not on the label's grid, or a label that does not know its spacing.
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
        regions: Regions | None = None,
        items: Sequence[Item] | None = None,
    ) -> None:
        if len(class_names) < 2:
            raise ValueError(f"class_names is {list(class_names)}; it needs the background and a class")
        self.output_dir = Path(output_dir)
        if regions is not None:
            check_score_regions(regions, class_names)
        self.class_names = list(class_names)
        self.regions = regions
        self.weights = weights
        self.facts = dict(facts or {})
        # MONAI keeps the name of the first of a case's files only; the case is called after all of them.
        self._cases = {
            first_image(item): str(PurePath(first_image(item)).with_name(case_id(item["image"])))
            for item in items or ()
        }
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
            path = self._path(item)
            try:
                spacing = label.pixdim.tolist()
                scored = score_case(pred, label, spacing, self.class_names, self.percentile, self.regions)
            except ValueError as error:
                raise ValueError(f"{case_id(PurePath(path).name)}: {error}") from None
            self.rows += [{"path": path, **row} for row in scored]
        self._bar.update()

    def _path(self, item: Mapping[str, Any]) -> str:
        """The image's file, else the label's, else a name that no other case has."""
        metas = [getattr(item[key], "meta", {}) for key in (self.pred_key, self.label_key)]
        found = [meta["filename_or_obj"] for meta in metas if "filename_or_obj" in meta]
        return self._cases.get(str(found[0]), str(found[0])) if found else f"rank_{_rank()}/case_{len(self.rows)}"

    def _finish(self, engine: Engine) -> None:
        self._bar.close()
        rows = _named(_from_all_ranks(self.rows))
        if _rank() != 0 or not rows:
            return
        scored = self.class_names if self.regions is None else [self.class_names[0], *self.regions]
        summary = summarise(rows, scored, f"hd{self.percentile:g}_mm")
        self.output_dir.mkdir(parents=True, exist_ok=True)
        _write_csv(self.output_dir / "cases.csv", rows)
        total: Row = {"class": "all", **summary["all"]}
        per_class = [{"class": name, **values} for name, values in summary["classes"].items()]
        _write_csv(self.output_dir / "summary.csv", [*per_class, total])
        write_json(self.output_dir / "summary.json", {**summary, **self._origin()})
        logger.info("Dice %s over %d cases; written to %s", _told(total), total["cases"], self.output_dir)

    def _origin(self) -> Row:
        """What the scores belong to."""
        origin: Row = {
            **self.facts,
            "grid": "the label files' own; spacing in mm",
            "dice": "absent from the label: not counted",
            **provenance(),
        }
        if self.regions is not None:
            origin["regions"] = {name: list(values) for name, values in self.regions.items()}
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
    return list({(row["path"], row["class"], row["value"]): row for part in parts for row in part}.values())


def _named(rows: Sequence[Row]) -> list[Row]:
    """Rows with ``case`` for ``path``: the file's name, with as many of its folders as tell it from the others."""
    parts = {row["path"]: (*PurePath(row["path"]).parts[:-1], case_id(row["path"])) for row in rows}
    names: dict[str, str] = {}
    for path, own in parts.items():
        lengths = range(1, len(own) + 1)
        unique = (n for n in lengths if sum(other[-n:] == own[-n:] for other in parts.values()) == 1)
        names[path] = "/".join(own[-next(unique, len(own)) :])
    return [{"case": names[row["path"]], **{k: v for k, v in row.items() if k != "path"}} for row in rows]


def _rank() -> int:
    return int(dist.get_rank()) if dist.is_available() and dist.is_initialized() else 0
