"""The README's first command, tiny: it can be interrupted, goes on, runs every step, and then repeats nothing."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import psutil
import pytest

from custom_components.atomic import read_json
from mim3d.catalog import ROOT
from mim3d.cli import main
from mim3d.study.runs import DONE

CASES = {"unlabelled": 3, "training": 1, "validation": 1, "test": 1}


def interrupt(words: list[str], out: Path) -> None:
    """Start a command, and press Ctrl-C once a run is done; all its processes end."""
    command = [sys.executable, "-m", "mim3d", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 300
    while not list(out.rglob(DONE)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in printed
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.slow
def test_the_quick_start_is_a_study_with_a_report_and_a_segmented_volume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tiny = "--cases 6 --spacing 8 8 8 --budget 0.005 --seed 1"
    words = ["quickstart", *tiny.split(), "--out", str(out)]
    interrupt(words, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob(DONE)}
    assert not (out / "report.html").exists()
    main(words)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    printed = capfd.readouterr().out
    assert re.search(r"time: about \d+ (s|min), from steps timed on this machine", printed)
    datalist = read_json(out / "data" / "datalist.json")
    assert {name: len(datalist[name]) for name in CASES} == CASES
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("scratch", "1"),
        ("scratch", "2"),
        ("hybridmim", "1"),
        ("hybridmim", "2"),
    ]
    assert {(row["steps"], row["pretraining_steps"]) for row in rows} == {("2", "0"), ("2", "6")}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "hybridmim: test Dice" in page
    assert "100% of the encoder" in page
    assert "<td>left kidney</td>" in page
    assert "Reconstruction: pretraining hybridmim" in page
    assert not re.search(r"(src|href)=['\"](?!data:)", page)
    (mask,) = (out / "segmentation").iterdir()
    (case,) = datalist["test"]
    assert nib.load(mask).shape == nib.load(out / "data" / case["image"]).shape
    assert f"segmented volume: {mask}" in printed

    records = {path: path.stat().st_mtime_ns for path in out.rglob(DONE)}
    assert len(records) == 11  # a pretraining, four trainings, four tests, two segmentations
    main(words)
    assert "time: every run is done" in capfd.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob(DONE)} == records
