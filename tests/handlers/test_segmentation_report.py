from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from custom_components.faults import Fault
from custom_components.handlers import SegmentationReport
from custom_components.transfer import file_sha256, write_card

NAMES = ["background", "a", "b"]


def item(name: str, pred_value: int, spacing: float = 2.0) -> dict[str, Any]:
    """A case whose label is class 1 in one octant, and whose prediction gives that octant ``pred_value``."""
    label = torch.zeros(1, 8, 8, 8)
    label[:, :4, :4, :4] = 1
    affine = torch.diag(torch.tensor([spacing, spacing, spacing, 1.0]))
    meta = {"filename_or_obj": f"/data/{name}.nii.gz"}
    return {"pred": MetaTensor(label * pred_value, affine, meta), "label": MetaTensor(label, affine, meta)}


def evaluate(report: SegmentationReport, batches: list[list[dict[str, Any]]]) -> None:
    engine = Engine(lambda _, batch: batch)
    report.attach(engine)
    engine.run(batches, max_epochs=1)


def test_files_hold_every_case_and_class_and_the_mean(tmp_path: Path) -> None:
    report = SegmentationReport(str(tmp_path), NAMES, facts={"seed": 3}, progress=False)
    evaluate(report, [[item("x", 1)], [item("y", 2)]])
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["class"], row["dice"]) for row in rows] == [
        ("x", "a", "1.0"),
        ("x", "b", "nan"),
        ("y", "a", "0.0"),
        ("y", "b", "nan"),
    ]
    assert rows[3]["false_positive_ml"] == str(64 * 8 / 1000)
    assert rows[0]["false_positive_ml"] == ""
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["all"]["dice_mean"] == 0.5
    assert summary["seed"] == 3
    assert summary["classes"]["a"]["hd95_mm_cases"] == 1
    assert {"commit", "versions", "machine"} <= set(summary)
    assert set(summary["machine"]) == {"system", "cpus", "gpu"}
    with open(tmp_path / "summary.csv", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["a", "b", "all"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv", "summary.csv", "summary.json"]


def test_regions_are_reported_instead_of_classes(tmp_path: Path) -> None:
    regions = {"whole": [1, 2], "b alone": [2], "b again": [2]}
    report = SegmentationReport(str(tmp_path), NAMES, progress=False, regions=regions)
    evaluate(report, [[item("x", 1)], [item("y", 2)]])
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["value"], row["class"], row["dice"]) for row in rows] == [
        ("x", "1+2", "whole", "1.0"),
        ("x", "2", "b alone", "nan"),
        ("x", "2", "b again", "nan"),
        ("y", "1+2", "whole", "1.0"),
        ("y", "2", "b alone", "nan"),
        ("y", "2", "b again", "nan"),
    ]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary["classes"]) == list(regions)
    assert summary["classes"]["b alone"]["false_positive_cases"] == 1
    assert summary["regions"] == regions
    assert summary["all"]["dice_mean"] == 1.0


def test_cases_of_all_ranks_are_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two regions of one class stay two; a case that both ranks scored is one."""
    gather = "custom_components.handlers.segmentation_report.gather_objects"
    monkeypatch.setattr(gather, lambda rows: [rows, rows])
    regions = {"one": [2], "two": [2]}
    evaluate(SegmentationReport(str(tmp_path), NAMES, progress=False, regions=regions), [[item("x", 2)]])
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["one", "two"]


def test_a_region_of_no_class_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="region 'core' has class 3; allowed: 1 to 2"):
        SegmentationReport(str(tmp_path), NAMES, regions={"core": [1, 3]})


def test_weights_are_named_by_sha_and_card(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    torch.save({}, weights)
    write_card(weights, {"method": "scratch"})
    evaluate(SegmentationReport(str(tmp_path), NAMES, str(weights), progress=False), [[item("x", 1)]])
    origin = json.loads((tmp_path / "summary.json").read_text())["weights"]
    assert origin["sha256"] == file_sha256(weights)
    assert origin["card"]["method"] == "scratch"


def test_two_cases_of_one_file_name_stay_apart(tmp_path: Path) -> None:
    report = SegmentationReport(str(tmp_path), NAMES, progress=False)
    evaluate(report, [[item("one/ct", 1)], [item("two/ct", 1)]])
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["one/ct", "one/ct", "two/ct", "two/ct"]


def test_two_ranks_cases_of_one_file_name_stay_apart_and_a_shared_case_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []
    for names in (("one/ct", "shared/mr"), ("two/ct", "shared/mr")):
        report = SegmentationReport(str(tmp_path), NAMES, progress=False)
        evaluate(report, [[item(name, 1)] for name in names])
        parts.append(report.rows)

    monkeypatch.setattr("custom_components.handlers.segmentation_report.gather_objects", lambda rows: parts)
    report._bar = SimpleNamespace(close=lambda: None)
    report._finish(Engine(lambda *_: None))
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        assert [row["case"] for row in csv.DictReader(file) if row["class"] == "a"] == ["one/ct", "mr", "two/ct"]
    assert json.loads((tmp_path / "summary.json").read_text())["all"]["cases"] == 3


def test_a_second_run_starts_afresh(tmp_path: Path) -> None:
    report = SegmentationReport(str(tmp_path), NAMES, progress=False)
    for _ in range(2):
        evaluate(report, [[item("x", 1)]])
    assert len(report.rows) == 2


def test_a_prediction_off_the_grid_names_the_case(tmp_path: Path) -> None:
    wrong = item("x", 1)
    wrong["pred"] = wrong["pred"][:, :4]
    with pytest.raises(Fault, match=r"x: prediction of shape \(1, 4, 8, 8\)"):
        evaluate(SegmentationReport(str(tmp_path), NAMES, progress=False), [[wrong]])


def test_a_label_without_spacing_is_refused(tmp_path: Path) -> None:
    wrong = item("x", 1)
    wrong["label"] = wrong["label"].as_tensor()
    with pytest.raises(ValueError, match="which has a spacing"):
        evaluate(SegmentationReport(str(tmp_path), NAMES, progress=False), [[wrong]])


def test_background_alone_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the background and a class"):
        SegmentationReport(str(tmp_path), ["background"])
