"""The quick start's report: what it says of equal or missing scores, of steps, and of what was skipped."""

from __future__ import annotations

import json

import pytest
import torch


@pytest.fixture
def report(quick_start):
    return quick_start.report


def dice(scratch, finetuned):
    scores = {}
    for run, value in (("scratch", scratch), ("finetuned", finetuned)):
        measured = {"dice_mean": value, "dice_sd": None, "hd95_mm_mean": None}
        scores[run] = {"all": measured, "classes": {"a": measured}}
    return scores


@pytest.mark.parametrize(
    ("scratch", "finetuned", "told"),
    [
        (0.5, 0.5, "0.500; of training from scratch: 0.500: equal"),
        (0.5, 0.75, "0.750; of training from scratch: 0.500: 0.250 higher"),
        (0.75, 0.5, "0.500; of training from scratch: 0.750: 0.250 lower"),
        (0.5, None, "not measured; of training from scratch: 0.500: the two cannot be compared"),
        (None, None, "not measured; of training from scratch: not measured: the two cannot be compared"),
    ],
)
def test_verdict_says_what_came_out(report, scratch, finetuned, told):
    assert told in report.verdict(dice(scratch, finetuned))


def test_a_dice_of_zero_or_none_is_nothing_learned(report):
    assert report.idle_runs(dice(0.0, None)) == ["scratch", "finetuned"]
    assert report.idle_runs(dice(0.5, None)) == ["finetuned"]


@pytest.fixture
def left(report, tmp_path, write_nifti):
    """What the steps leave in ``out``, and a data folder with a list of one test case."""
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
def written(report, left):
    """``written(case, name, backbone)``: the page of a report."""
    out, data = left

    def write(image="image.nii.gz", name="hybridmim", backbone="basic_unet"):
        case, choice = {"image": image, "label": "label.nii.gz"}, report.Choice(name, backbone)
        return report.write_report(out, "own", data, case, 0, {"all": 1.0}, choice).read_text()

    return write


def test_report_states_the_steps_that_ran_and_the_machine(written, left):
    page = written()
    numbers = json.loads((left[0] / "report.json").read_text())
    assert numbers["seconds"] == {"all": 1.0}
    assert numbers["scores"].keys() == {"scratch", "finetuned"}
    assert "pretrain: 7, scratch: 8, finetuned: 9" in page
    assert "Some-System, 2 CPUs, no GPU" in page
    assert "own: 1 unlabelled, 1 training, 0 validation, 0 test" in page
    assert "overlay.png" in page
    assert (left[0] / "overlay.png").is_file()


def test_report_says_which_method_network_and_bundle(written, left):
    page = written(name="simmim", backbone="swin_unetr")
    numbers = json.loads((left[0] / "report.json").read_text())
    assert (numbers["method"], numbers["backbone"]) == ("simmim", "swin_unetr")
    assert "SimMIM (simmim), bundle pretrain_simmim" in page
    assert "<td>backbone</td><td>swin_unetr</td>" in page


def test_report_shows_what_pretraining_paints_where_it_paints(written, left):
    assert "What pretraining paints" in written()
    (left[0] / "pretrain" / "reconstruction.png").unlink()
    page = written(name="simclr", backbone="unetr")
    assert "paints" not in page
    assert "reconstruction.png" not in page
    assert "<td>val_loss</td><td>1.0000</td>" in page


def test_report_says_that_an_image_of_several_files_was_not_segmented(written, left):
    page = written(image=["t1.nii.gz", "t2.nii.gz"])
    assert "Not done: this volume is one file per channel" in page
    assert "overlay.png" not in page
    assert not (left[0] / "overlay.png").exists()


def test_report_is_written_also_where_nothing_was_learned(written, left):
    out, _ = left
    (out / "scratch" / "summary.json").write_text(json.dumps(dice(None, 0.6)["scratch"]))
    with pytest.raises(SystemExit, match="segmentation from scratch learned nothing"):
        written()
    assert "not measured" in (out / "report.html").read_text()
