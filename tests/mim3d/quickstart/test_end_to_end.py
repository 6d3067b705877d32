"""The README's first command, tiny: every step of the quick start really runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import pytest

from custom_components.transfer import file_sha256
from mim3d.cli import main
from mim3d.quickstart import report

CASES = {"unlabelled": 3, "training": 1, "validation": 1, "test": 1}
#: Of 160 steps of pretraining and 240 of segmentation at --budget 1.
STEPS = {"pretrain": 3, "scratch": 4, "finetuned": 4}


@pytest.mark.slow
def test_the_quick_start_leaves_a_report_of_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LEARNED", 0.0)  # four steps need not learn anything
    out = tmp_path / "out"
    words = "quickstart --size tiny --cases 6 --spacing 8 8 8 --budget 0.02 --seed 1 --out"
    main([*words.split(), str(out)])

    numbers = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert (numbers["method"], numbers["backbone"], numbers["data"]) == ("hybridmim", "basic_unet", "phantoms")
    assert numbers["cases"] == CASES
    assert numbers["seed"] == 1
    assert numbers["steps"] == STEPS
    assert set(numbers["seconds"]) == {"data", "pretraining", "scratch", "finetuned", "all"}
    assert numbers["transfer"]["encoder_share"] == 1.0
    assert "val_reconstruction" in numbers["pretext"]
    for run in ("scratch", "finetuned"):
        assert len(numbers["scores"][run]["classes"]) == 13
        assert numbers["scores"][run]["all"]["dice_mean"] is not None
        summary = json.loads((out / run / "summary.json").read_text(encoding="utf-8"))
        assert summary["weights"]["sha256"] == file_sha256(out / run / "model.pt")
    assert not (out / "scratch" / "transfer.json").exists()

    page = (out / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<img src='([^']+)'", page)
    assert pictures == ["dice_curves.png", "pretrain/reconstruction.png", "overlay.png"]
    assert all((out / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)

    (case,) = json.loads((out / "data" / "datalist.json").read_text(encoding="utf-8"))["test"]
    image, (mask,) = nib.load(out / "data" / case["image"]), (out / "segmentation").iterdir()
    assert nib.load(mask).shape == image.shape
