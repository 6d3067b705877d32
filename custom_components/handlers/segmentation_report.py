"""Scores of each case and class (or region) on the grids of the label files, with what they belong to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from ignite.engine import Engine, Events
from monai.data.meta_tensor import MetaTensor
from tqdm import tqdm

from custom_components.atomic import write_csv, write_json
from custom_components.data.names import Item, case_id, first_image
from custom_components.distributed import gather_objects, rank
from custom_components.faults import Fault
from custom_components.metrics.segmentation import Regions, Row, check_score_regions, score_case, summarise
from custom_components.number_checks import check_number
from custom_components.transfer import file_sha256, provenance, read_card

logger = logging.getLogger(__name__)


class SegmentationReport:
    """Write ``cases.csv``, ``summary.csv`` and ``summary.json`` after an evaluator's run.

    The evaluator's postprocessing must return class numbers under ``pred``, ``(1, D, H, W)``, on the grid of the
    label file: argmax, then ``Invertd``. The label under ``label`` must only be loaded; its spacing is used.

    Args:
        output_dir: folder of the files.
        class_names: in the order of their numbers, background first.
        weights: the evaluated weights file; its sha256 and card go into the summary.
        facts: what else the summary records, such as seed, data-list hash and section.
        percentile: of the Hausdorff distance, in (0, 100].
        progress: show a bar over the cases.
        regions: name -> class numbers whose union is scored instead of each class; they may overlap
            (``tumour core: [1, 3]``, ``whole tumour: [1, 2, 3]``). None: score each class.
        tolerance: of the normalised surface Dice, in mm, above 0.
        items: the list's items. A case of several files is then named after all of them, as the list names it.

    Raises:
        ValueError: for no class but the background, or a region that is not a union of classes; during the run,
            for a label without spacing.
        Fault: during the run, for a prediction on another grid than its label.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        weights: str | None = None,
        facts: Mapping[str, Any] | None = None,
        percentile: float = 95,
        progress: bool = True,
        regions: Regions | None = None,
        items: Sequence[Item] | None = None,
        tolerance: float = 1.0,
    ) -> None:
        if len(class_names) < 2:
            raise ValueError(f"class_names is {list(class_names)}; it needs the background and a class")
        check_number(tolerance, "surface_tolerance", above=0)
        if regions is not None:
            check_score_regions(regions, class_names)
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.regions = regions
        self.weights = weights
        self.facts = dict(facts or {})
        # MONAI keeps only the name of a case's first file.
        self._cases = {
            first_image(item): str(PurePath(first_image(item)).with_name(case_id(item["image"])))
            for item in items or ()
        }
        self.percentile, self.tolerance = percentile, tolerance
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
        shown = self.progress and rank() == 0
        self._bar = tqdm(total=engine.state.epoch_length, desc="evaluate", unit="case", disable=not shown)

    def __call__(self, engine: Any) -> None:
        """Score the cases of a batch."""
        for item in engine.state.output:
            pred, label = item["pred"], item["label"]
            if not isinstance(label, MetaTensor):
                raise ValueError(f"label is a {type(label).__name__}; allowed: a MetaTensor, which has a spacing")
            path = self._path(item)
            try:
                spacing = label.pixdim.tolist()
                settings = (self.percentile, self.regions, self.tolerance)
                scored = score_case(pred, label, spacing, self.class_names, *settings)
            except ValueError as error:
                raise Fault(f"{case_id(PurePath(path).name)}: {error}") from None
            self.rows += [{"path": path, **row} for row in scored]
        self._bar.update()

    def _path(self, item: Mapping[str, Any]) -> str:
        """Return the image's file, or the label's, or else a name that no other case has."""
        metas = [getattr(item[key], "meta", {}) for key in ("pred", "label")]
        found = [str(meta["filename_or_obj"]) for meta in metas if "filename_or_obj" in meta]
        return self._cases.get(found[0], found[0]) if found else f"rank_{rank()}/case_{len(self.rows)}"

    def _finish(self, engine: Engine) -> None:
        self._bar.close()
        rows = _with_case_names(_unique(gather_objects(self.rows)))
        if rank() != 0 or not rows:
            return
        scored = self.class_names if self.regions is None else [self.class_names[0], *self.regions]
        summary = summarise(rows, scored, f"hd{self.percentile:g}_mm")
        total: Row = {"class": "all", **summary["all"]}
        per_class = [{"class": name, **values} for name, values in summary["classes"].items()]
        write_csv(self.output_dir / "cases.csv", rows)
        write_csv(self.output_dir / "summary.csv", [*per_class, total])
        write_json(self.output_dir / "summary.json", {**summary, **self._origin()})
        logger.info("Dice %s over %d cases; written to %s", _mean_dice(total), total["cases"], self.output_dir)

    def _origin(self) -> Row:
        """Return what the scores belong to."""
        origin: Row = {
            **self.facts,
            "grid": "the label files' own; spacing in mm",
            "dice": "absent from the label: not counted",
            "nsd": f"tolerance {self.tolerance:g} mm",
            **provenance(),
        }
        if self.regions is not None:
            origin["regions"] = {name: list(values) for name, values in self.regions.items()}
        if self.weights is not None:
            origin["weights"] = {"sha256": file_sha256(self.weights), "card": read_card(self.weights)}
        return origin


def _mean_dice(total: Row) -> str:
    value, spread = total["dice_mean"], total["dice_sd"]
    return "not measured" if value is None else f"{value:.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def _unique(rows_of_ranks: Sequence[Sequence[Row]]) -> list[Row]:
    """Merge the rows of all ranks; a case that two ranks scored appears once."""
    rows = [row for rows in rows_of_ranks for row in rows]
    return list({(row["path"], row["class"], row["value"]): row for row in rows}.values())


def _with_case_names(rows: Sequence[Row]) -> list[Row]:
    """Replace ``path`` by ``case``: the file's name, with as many folders as make it unique."""
    parts = {row["path"]: (*PurePath(row["path"]).parts[:-1], case_id(row["path"])) for row in rows}
    names: dict[str, str] = {}
    for path, own in parts.items():
        lengths = range(1, len(own) + 1)
        unique = (n for n in lengths if sum(other[-n:] == own[-n:] for other in parts.values()) == 1)
        names[path] = "/".join(own[-next(unique, len(own)) :])
    return [{"case": names[row["path"]], **{k: v for k, v in row.items() if k != "path"}} for row in rows]
