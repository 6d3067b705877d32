"""Folders that seg_brats reads: BraTS as it is distributed, and what ends in one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from mim3d.datasets.prepare import prepare_datalist
from tests.bundles.brats import AFFINE, REGIONS, SEQUENCES, SOURCES, TINY, brain, write

Run = Callable[..., ConfigWorkflow]
SHORT = {"epochs": 1, "val_interval": 1, "num_samples": 1}


def places(data: Path, out: Path) -> dict[str, Any]:
    return {"dataset_dir": str(data), "ckpt_dir": str(out / "models"), "output_dir": str(out / "eval")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labelled cases laid out as BraTS 2021 is distributed."""
    data = tmp_path / "BraTS2021_Training_Data"
    for number in range(3):
        case = f"BraTS2021_{number:05d}"
        image, label = brain(number)
        for channel, sequence in enumerate(SEQUENCES):
            write(data / case / f"{case}_{sequence}.nii.gz", image[..., channel], AFFINE)
        write(data / case / f"{case}_seg.nii.gz", label, AFFINE)
    return data


@pytest.fixture
def stacked(tmp_path: Path) -> Path:
    """Two 4D cases as in MSD Task01, with a list."""
    data = tmp_path / "stacked"
    items = []
    for number in range(2):
        image, label = brain(number, (2, 1, 3))
        write(data / f"imagesTr/case{number}.nii.gz", image, AFFINE)
        write(data / f"labelsTr/case{number}.nii.gz", label, AFFINE)
        items.append({key: f"{key}sTr/case{number}.nii.gz" for key in ("image", "label")})
    listed = {"channels": ["FLAIR", "T1w", "t1gd", "T2w"], "training": items[:1], "validation": items[1:]}
    (data / "datalist.json").write_text(json.dumps(listed))
    return data


@pytest.mark.slow
def test_case_folders_are_listed_trained_on_and_scored(folder: Path, run_bundle: Run, tmp_path: Path) -> None:
    listed = json.loads(prepare_datalist(folder, validation=1).read_text(encoding="utf-8"))
    assert listed["channels"] == ["FLAIR", "T1", "T1ce", "T2"]
    assert [len(item["image"]) for item in (*listed["training"], *listed["validation"])] == [4, 4, 4]
    override = {**TINY, **places(folder, tmp_path), "label_source": "brats2021"}
    made = run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **override, **SHORT)
    assert made.trainer.state.epoch == 1
    assert (tmp_path / "models" / "model.pt").is_file()
    run_bundle("seg_brats", ["train.yaml", "smoke.yaml", "evaluate.yaml"], **override)
    with open(tmp_path / "eval" / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = np.asanyarray(nib.load(folder / listed["validation"][0]["label"]).dataobj)
    meaning = {name: value for value, name in SOURCES["brats2021"].items()}
    counts = [np.isin(label, [meaning[tissue] for tissue in tissues]).sum() for tissues in REGIONS.values()]
    assert [row["class"] for row in rows] == list(REGIONS)
    assert [int(row["label_voxels"]) for row in rows] == counts
    case = Path(listed["validation"][0]["label"]).parent.name
    assert all(row["case"] == case for row in rows)


# --- what ends in one line --------------------------------------------------------------------------------


def told(caught: pytest.ExceptionInfo[SystemExit]) -> str:
    message = str(caught.value)
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    return message


def test_a_value_that_the_source_lacks_is_named(folder: Path, run_bundle: Run, tmp_path: Path) -> None:
    prepare_datalist(folder, validation=1)
    override = {**TINY, **SHORT, **places(folder, tmp_path)}
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **override, label_source="msd_task01")
    message = told(caught)
    assert "_seg.nii.gz holds the values 4 (in all 0, 1, 2, 4)" in message
    assert "'msd_task01': 0, 1, 2, 3" in message
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("listed", "wrong"),
    [(["T1", "FLAIR", "T1ce", "T2"], "in another order than"), (["CT", "T1", "T1ce", "T2"], "others than")],
)
def test_channels_in_another_order_are_named(
    listed: list[str], wrong: str, stacked: Path, run_bundle: Run, tmp_path: Path
) -> None:
    file = stacked / "datalist.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "channels": listed}))
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["train.yaml", "smoke.yaml"], **{**TINY, **SHORT, **places(stacked, tmp_path)})
    assert f"{', '.join(listed)}: {wrong} FLAIR, T1, T1ce, T2" in told(caught)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("as_list", [False, True])
def test_three_channels_do_not_reach_the_network(as_list: bool, run_bundle: Run, tmp_path: Path) -> None:
    image, _ = brain(0)
    given: Any = write(tmp_path / "three.nii.gz", image[..., :3], AFFINE)
    if as_list:
        given = [write(tmp_path / f"{k}.nii.gz", image[..., k], AFFINE) for k in range(3)]
    override = {**TINY, "dataset_dir": given, "output_dir": str(tmp_path / "out")}
    with pytest.raises(SystemExit) as caught:
        run_bundle("seg_brats", ["inference.yaml", "smoke.yaml"], **override, weights=str(tmp_path / "none.pt"))
    assert "has 3 channel(s); one file with FLAIR, T1, T1ce, T2, or a list" in told(caught)
    assert not (tmp_path / "out").exists()
