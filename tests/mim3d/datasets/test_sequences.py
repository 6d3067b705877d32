"""Files that differ in their sequence only become one case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.datasets.prepare import prepare_datalist
from mim3d.datasets.sequences import sequence_name


def write(folder: Path, names: Sequence[str], side: int = 6) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        voxels = (side, 6, 6)
        values = np.eye(6, dtype=np.uint8)[None].repeat(side, 0) if "label" in name else rng.normal(size=voxels)
        nib.save(nib.Nifti1Image(values.astype(np.uint8 if "label" in name else np.float32), np.eye(4)), path)


def listed(folder: Path, join: bool = True) -> dict[str, list[dict[str, object]]]:
    path = prepare_datalist(folder, folder / "out.json", validation=0.4, join_sequences=join, overwrite=True)
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("form", ["{p}_{s}", "{p}/{p}_{s}"])
def test_sequences_of_a_patient_become_channels_with_the_shared_label(tmp_path: Path, form: str) -> None:
    for patient in ("p1", "p2", "p3"):
        parts = ["T2", "T1POST", "FLAIR", "SWI", *(["label"] if patient != "p3" else [])]
        write(tmp_path, [form.format(p=patient, s=part) for part in parts])
    content = listed(tmp_path)
    assert content["channels"] == ["FLAIR", "T1POST", "T2", "SWI"]
    (case,) = content["training"]
    patient = "p1" if "p1" in str(case["label"]) else "p2"
    files = [f"{form.format(p=patient, s=s)}.nii.gz" for s in ("FLAIR", "T1POST", "T2", "SWI")]
    assert case["image"] == files
    assert case["label"] == f"{form.format(p=patient, s='label')}.nii.gz"
    assert len(content["validation"]) == 1
    assert [form.format(p="p3", s="FLAIR") in str(item["image"]) for item in content["unlabelled"]].count(
        True
    ) == 1
    assert listed(tmp_path, join=False)["training"] == []


def test_nothing_is_joined_without_a_label_or_with_a_sequence_missing(tmp_path: Path) -> None:
    write(tmp_path, ["p1_T1", "p1_T2", "p2_T1", "p2_T2"])
    assert len(listed(tmp_path)["unlabelled"]) == 4
    write(tmp_path, ["p1_label", "p2_label", "p3_T1"])
    assert [item["image"] for item in listed(tmp_path)["unlabelled"]] == [
        f"{name}.nii.gz" for name in ("p1_T1", "p1_T2", "p2_T1", "p2_T2", "p3_T1")
    ]


def test_files_on_different_grids_are_not_joined(tmp_path: Path) -> None:
    write(tmp_path, ["p1_T1", "p1_T2", "p1_label", "p2_T1", "p2_label"])
    write(tmp_path, ["p2_T2"], side=7)
    assert listed(tmp_path)["training"] == []


@pytest.mark.parametrize(
    ("path", "name"), [("a/p1_T1POST.nii.gz", "T1POST"), ("p1-flair.nii", "flair"), ("scan.nii", "")]
)
def test_the_sequence_is_spelled_as_in_the_file(path: str, name: str) -> None:
    assert sequence_name(path) == name
