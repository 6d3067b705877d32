"""A tiny study on phantoms: every run is real."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest

from mim3d.cli import main
from mim3d.study.runs import DONE

PHANTOMS = {"kind": "hippocampus_mri", "size": "tiny", "training": 2, "validation": 1, "test": 1, "unlabelled": 2}


@pytest.mark.slow
def test_a_study_leaves_results_and_a_report_and_goes_on(study_file: Callable[..., Path], tmp_path: Path) -> None:
    grid = {"method": ["scratch", "hybridmim"], "labels": [2], "seed": [0], "steps": [1]}
    file = study_file(data={"phantoms": PHANTOMS}, grid=grid, pretraining={"steps": 1}, validations=1)
    out = tmp_path / "out"
    words = ["study", str(file), "--out", str(out), "--devices", "cpu"]
    main(words)
    with (out / "results.csv").open(newline="", encoding="utf-8") as rows:
        scratch, tuned = csv.DictReader(rows)
    assert (scratch["method"], tuned["method"]) == ("scratch", "hybridmim")
    assert (scratch["steps"], tuned["steps"], tuned["pretraining_steps"]) == ("1", "1", "1")
    for row in (scratch, tuned):
        summary = json.loads((out / row["run"] / "test" / "summary.json").read_text(encoding="utf-8"))
        assert float(row["dice"]) == summary["all"]["dice_mean"]
        assert float(row["nsd"]) == summary["all"]["nsd_mean"]
        assert summary["section"] == "test"
        card = json.loads((out / row["run"] / "model.card.json").read_text(encoding="utf-8"))
        assert card["metric"]["val_mean_dice"] == float(row["validation_dice"])
    transfer = json.loads((out / tuned["run"] / "transfer.json").read_text(encoding="utf-8"))
    assert transfer["encoder_share"] == 1.0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "hybridmim: test Dice" in page
    assert not re.search(r"(src|href)=['\"](?!data:)", page)
    masks = sorted((out / "training").rglob("pictures/**/*.nii.gz"))
    assert len(masks) == 2
    image = nib.load(next((out / "data" / "imagesTr").glob("*_003.nii.gz")))
    assert {nib.load(mask).shape for mask in masks} == {image.shape}
    assert (out / "pictures" / "case_0.png").read_bytes().startswith(b"\x89PNG")

    records = {path: path.stat().st_mtime_ns for path in out.rglob(DONE)}
    assert len(records) == 7  # a pretraining, two trainings, two tests, two pictures
    main(words)
    assert {path: path.stat().st_mtime_ns for path in out.rglob(DONE)} == records
