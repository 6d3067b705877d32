"""The quick start's report: equal and missing scores, the run's facts, and steps that were left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mim3d.quickstart.choice import Choice
from mim3d.quickstart.data import DataSet
from mim3d.quickstart.report import idle_runs, verdict, write_report
from mim3d.quickstart.steps import Steps

Write = Callable[..., str]


def dice(scratch: float | None, finetuned: float | None) -> dict[str, Any]:
    scores = {}
    for run, value in (("scratch", scratch), ("finetuned", finetuned)):
        measured = {"dice_mean": value, "dice_sd": None, "hd95_mm_mean": None}
        scores[run] = {"all": measured, "classes": {"a": measured}}
    return scores


@pytest.mark.parametrize(
    ("scratch", "finetuned", "sentence"),
    [
        (0.5, 0.5, "0.500; of training from scratch: 0.500: equal"),
        (0.5, 0.75, "0.750; of training from scratch: 0.500: 0.250 higher"),
        (0.75, 0.5, "0.500; of training from scratch: 0.750: 0.250 lower"),
        (0.5, None, "not measured; of training from scratch: 0.500: the two cannot be compared"),
        (None, None, "not measured; of training from scratch: not measured: the two cannot be compared"),
    ],
)
def test_verdict_compares_the_two_runs(scratch: float | None, finetuned: float | None, sentence: str) -> None:
    assert sentence in verdict(dice(scratch, finetuned))


def test_a_dice_of_zero_or_none_is_nothing_learned() -> None:
    assert idle_runs(dice(0.0, None)) == ["scratch", "finetuned"]
    assert idle_runs(dice(0.5, None)) == ["finetuned"]


@pytest.fixture
def left(tmp_path: Path, write_nifti: Callable[..., Path]) -> tuple[Path, Path]:
    """The folder ``out`` as the steps leave it, and a data folder with a list of one case."""
    out, data = tmp_path / "out", tmp_path / "data"
    for steps, name in enumerate(("pretrain", "scratch", "finetuned"), start=7):
        (out / name).mkdir(parents=True)
        torch.save({"trainer": {"epoch": 1, "iteration": steps}}, out / name / "resume.pt")
    for run, summary in dice(0.5, 0.6).items():
        (out / run / "summary.json").write_text(json.dumps(summary))
    machine = {"system": "Some-System", "cpus": 2, "gpu": None}
    pretext = {"metrics": {"val_loss": 1.0}, "versions": {"torch": "2"}, "commit": "abc", "machine": machine}
    pretext["written"] = "2026-01-01T00:00:00+00:00"
    (out / "pretrain" / "pretext_metrics.json").write_text(json.dumps(pretext))
    (out / "finetuned" / "transfer.json").write_text(json.dumps({"counts": {"matched": 3}, "encoder_share": 1.0}))
    data.mkdir()
    (data / "datalist.json").write_text(json.dumps({"training": [{"image": "x.nii", "label": "y.nii"}]}))
    write_nifti(data / "image.nii.gz", (8, 7, 6, 2))
    write_nifti(data / "label.nii.gz", (8, 7, 6), label_classes=2)
    (out / "pretrain" / "reconstruction.png").write_bytes(b"")
    write_nifti(out / "segmentation" / "image_seg.nii.gz", (8, 7, 6), label_classes=2)
    return out, data


@pytest.fixture
def written(left: tuple[Path, Path]) -> Write:
    """``written(image, name, backbone)``: the page of a report."""
    out, data = left

    def write(
        image: str | list[str] = "image.nii.gz",
        name: str = "hybridmim",
        backbone: str = "basic_unet",
        budget: float = 1.0,
    ) -> str:
        steps = Steps(DataSet("own", data), Choice(name, backbone), out, 0, budget)
        return write_report(steps, {"image": image, "label": "label.nii.gz"}, {"all": 1.0}).read_text()

    return write


def test_report_states_the_steps_that_ran_and_the_machine(written: Write, left: tuple[Path, Path]) -> None:
    page = written()
    numbers = json.loads((left[0] / "report.json").read_text())
    assert numbers["seconds"] == {"all": 1.0}
    assert numbers["scores"].keys() == {"scratch", "finetuned"}
    assert "pretrain: 7, scratch: 8, finetuned: 9" in page
    assert "Some-System, 2 CPUs, no GPU" in page
    assert "own: 1 unlabelled, 1 training, 0 validation, 0 test" in page
    assert "overlay.png" in page
    assert (left[0] / "overlay.png").is_file()


def test_report_says_which_method_network_and_bundle(written: Write, left: tuple[Path, Path]) -> None:
    page = written(name="simmim", backbone="swin_unetr")
    numbers = json.loads((left[0] / "report.json").read_text())
    assert (numbers["method"], numbers["backbone"]) == ("simmim", "swin_unetr")
    assert "SimMIM (simmim), bundle pretrain_simmim" in page
    assert "<td>backbone</td><td>swin_unetr</td>" in page


def test_report_shows_the_reconstruction_if_there_is_one(written: Write, left: tuple[Path, Path]) -> None:
    assert "masked volume and reconstruction" in written()
    (left[0] / "pretrain" / "reconstruction.png").unlink()
    page = written(name="simclr", backbone="unetr")
    assert "reconstruction" not in page
    assert "<td>val_loss</td><td>1.0000</td>" in page


def test_report_says_that_an_image_of_several_files_was_not_segmented(
    written: Write, left: tuple[Path, Path]
) -> None:
    page = written(image=["t1.nii.gz", "t2.nii.gz"])
    assert "Not done: this case has one file per channel" in page
    assert "overlay.png" not in page
    assert not (left[0] / "overlay.png").exists()


def test_report_is_written_also_where_nothing_was_learned(
    written: Write, left: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = left
    (out / "scratch" / "summary.json").write_text(json.dumps(dice(None, 0.6)["scratch"]))
    with pytest.raises(ValueError, match="segmentation from scratch learned nothing"):
        written()
    assert "not measured" in (out / "report.html").read_text()
    assert "not measured" in written(budget=0.5)
    assert "warning: segmentation from scratch learned nothing" in capsys.readouterr().out
