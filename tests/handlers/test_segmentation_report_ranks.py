"""The segmentation report of several ranks: real processes, each with a part of the cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from custom_components.handlers import SegmentationReport
from tests.ranks import run_ranks

pytestmark = pytest.mark.slow
NAMES = ["background", "organ", "tumour"]
#: Two of one class, and one over both: rows that differ in their name alone must all stay.
REGIONS = {"whole": [1, 2], "tumour": [2], "tumour again": [2]}
AFFINE = torch.tensor([2.0, 2.0, 2.0, 1.0])  # mm
#: Cases of each rank: unequal numbers, one case that both have, and two files of one name in different folders.
CASES = [["one/ct", "mr", "shared"], ["two/ct", "shared"]]


def case(name: str) -> dict[str, Any]:
    """Label and prediction drawn from the name, so that every case has scores of its own."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    label = torch.randint(3, (1, 8, 8, 8), generator=generator).float()
    wrong = torch.rand(label.shape, generator=generator) < 0.3
    meta = {"filename_or_obj": f"/data/{name}.nii.gz"}
    affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]))
    return {
        "pred": MetaTensor(torch.where(wrong, 0, label), affine, meta),
        "label": MetaTensor(label, affine, meta),
    }


def evaluate(folder: Path, names: list[str], regions: dict[str, list[int]] | None) -> None:
    """Evaluate cases in batches of one, and leave the report in ``folder``."""
    engine = Engine(lambda _, batch: batch)
    SegmentationReport(str(folder), NAMES, facts={"seed": 3}, progress=False, regions=regions).attach(engine)
    engine.run([[case(name)] for name in names], max_epochs=1)


def one_rank(rank: int, folder: Path, regions: dict[str, list[int]] | None) -> None:
    """Write into a folder of this rank's own, so that it shows which rank wrote."""
    evaluate(folder / f"rank{rank}", CASES[rank], regions)


def read(folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, Any]]:
    tables = []
    for name in ("cases.csv", "summary.csv"):
        with open(folder / name, encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    del summary["written"]  # the time
    return tables[0], tables[1], summary


@pytest.mark.parametrize("regions", [None, REGIONS], ids=["classes", "regions"])
def test_two_ranks_report_what_one_process_does(regions: dict[str, list[int]] | None, tmp_path: Path) -> None:
    run_ranks(one_rank, tmp_path, regions)
    evaluate(tmp_path / "alone", ["one/ct", "mr", "shared", "two/ct"], regions)
    written = sorted(path.name for path in (tmp_path / "rank0").iterdir())
    assert written == ["cases.csv", "summary.csv", "summary.json"]
    assert not (tmp_path / "rank1").exists(), "rank 0 alone writes"
    assert read(tmp_path / "rank0") == read(tmp_path / "alone")
    cases, _, summary = read(tmp_path / "rank0")
    scored = list(regions or NAMES[1:])
    assert [(row["case"], row["class"]) for row in cases] == [
        (name, scored_name) for name in ("one/ct", "mr", "shared", "two/ct") for scored_name in scored
    ]
    assert len({row["dice"] for row in cases if row["class"] == scored[0]}) == 4, "each case has scores of its own"
    assert summary["all"]["cases"] == 4
