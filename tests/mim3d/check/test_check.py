"""``mim3d check``: complete, right about what a config expects, and with the right exit status."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.cli import main
from tests.exit_status import exit_status


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty tiny volumes of a hippocampus, with their list."""
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    main(["phantoms", "--out", str(folder), "--kind", "hippocampus_mri", "--cases", "12", "--size", "tiny"])
    return folder


@pytest.fixture
def data(phantoms: Path, tmp_path: Path) -> Path:
    """A copy of them, to be damaged."""
    return Path(shutil.copytree(phantoms, tmp_path / "data"))


def check(*words: str) -> int:
    """Run the command and return its exit status."""
    return exit_status("check", *words, "--workers", "2")


def test_a_good_set_is_clean_with_and_without_a_bundle(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--full"], ["--bundle", "seg_msd_hippocampus"]):
        assert check(str(data), *words) == 0
        assert "no errors\nno warnings" in capsys.readouterr().out


def test_every_error_is_in_one_table_and_in_the_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = json.loads((data / "datalist.json").read_text())["training"]
    lost, cut, wrong = (training[k] for k in range(3))
    (data / lost["image"]).unlink()
    (data / cut["label"]).write_bytes((data / cut["label"]).read_bytes()[:-9])
    image = nib.load(data / wrong["image"])
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), data / wrong["image"])
    assert check(str(data), "--full", "--out", str(data / "out.csv")) == 1
    printed = capsys.readouterr()
    with open(data / "out.csv", encoding="utf-8", newline="") as file:
        errors = [row["file"] for row in csv.DictReader(file) if row["level"] == "error"]
    assert errors == [lost["image"], cut["label"], wrong["image"]]
    assert "3 errors\n" in printed.out
    assert "3 errors in 3 of 12 cases" in printed.err


def test_a_bundle_says_what_channels_and_labels_must_be(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(data), "--bundle", "seg_brats", "--label_source", "msd_task01") == 1
    assert "has 1 channels; expected 4" in capsys.readouterr().out
    keys = ["--label_names", "['background','anterior']"]
    assert check(str(data), "--bundle", "seg_msd_hippocampus", *keys) == 1
    assert "holds the values 2; allowed: whole numbers 0 to 1" in capsys.readouterr().out


def test_what_concerns_the_whole_list_is_a_finding(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((data / "datalist.json").read_text())
    for item in content["training"]:
        label = nib.load(data / item["label"])
        voxels = np.minimum(np.array(label.dataobj), 1)
        nib.save(nib.Nifti1Image(voxels, label.affine), data / item["label"])
    assert check(str(data)) == 0
    assert "no training case has 'posterior' (value 2) in its label" in capsys.readouterr().out
    content["validation"] = content["training"][:1]
    (data / "datalist.json").write_text(json.dumps(content))
    assert check(str(data)) == 1
    assert "a case belongs to one section" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--epochs", "3"], 2, "--layer and keys of a config need --bundle"),
        (["--bundle", "seg_btcv", "--chanels", "3"], 1, "unknown key --chanels"),
        (["--bundle", "seg_btcv", "--layer", "none.yaml"], 1, "none.yaml does not exist"),
        (["--datalist", "none.json"], 1, "none.json does not exist"),
    ],
)
def test_mistakes_are_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
) -> None:
    assert check(str(data), *words) == status
    assert message in capsys.readouterr().err


def test_a_folder_without_a_list_is_checked(data: Path, write_nifti: Callable[..., Path]) -> None:
    (data / "datalist.json").unlink()
    assert check(str(data)) == 0
    write_nifti(data / "imagesUn" / "two.nii", (6, 5, 4, 2))
    assert check(str(data)) == 1
