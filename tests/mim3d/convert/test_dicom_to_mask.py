"""From DICOM to a mask: convert, list, check, store, pretrain and fine-tune for a few steps, segment."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.data import read_volume
from custom_components.store import StoreFolder
from mim3d.catalog import BUNDLES
from mim3d.cli import main
from mim3d.phantoms.cases import Case, make_case
from tests.mim3d.convert.dicom_files import write_series
from tests.robustness.stages import run_config, write_list

TASK = "seg_msd_spleen"
FEATURES = [4, 4, 8, 8, 8, 4]
#: Behind the layers for phantoms: one epoch of a network of 14 000 parameters, from the store.
TINY: dict[str, Any] = {
    "device": torch.device("cpu"),
    "amp": False,
    "architecture#features": FEATURES,
    "cache": "store",
    "epochs": 1,
    "val_interval": 1,
}


def in_the_axes_of(case: Case, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a file; return voxels ``(X, Y, Z)`` and affine (4, 4) in the axes in which a phantom is stored.

    DICOM says where slices lie, not in which order; so the converted file may begin at the other end.
    """
    values, affine = read_volume(path)
    turned = nib.orientations.io_orientation(np.linalg.inv(case.affine) @ affine)
    back = affine @ nib.orientations.inv_ornt_aff(turned, values.shape[1:])
    return nib.orientations.apply_orientation(values[0], turned), back


def write_scans(folder: Path, cases: Sequence[Case]) -> None:
    """Write each phantom as a series of its own patient."""
    for number, case in enumerate(cases):
        patient = {"_0010_0020": f"patient {number}"}
        write_series(folder / f"p{number}", case.image, case.affine, f"1.2.826.{number}", **patient)


def entries(store: Path) -> list[tuple[str, str]]:
    """The entries of a store: kind and key."""
    return sorted(StoreFolder(store).entries())


@pytest.mark.slow
def test_a_series_goes_through_convert_list_check_store_both_trainings_and_inference(tmp_path: Path) -> None:
    cases = [make_case("spleen_ct", number, size="tiny") for number in range(4)]
    write_scans(tmp_path / "scans", cases)
    data, store = tmp_path / "data", tmp_path / "data" / "mim3d_store"
    main(["convert", str(tmp_path / "scans"), "--out", str(data)])
    with open(data / "convert.csv", encoding="utf-8", newline="") as file:
        outputs = {row["source"]: row["output"] for row in csv.DictReader(file)}
    for number, case in enumerate(cases):
        image = data / outputs[f"p{number}"]
        hounsfield, affine = in_the_axes_of(case, image)
        assert np.array_equal(hounsfield, case.image)
        assert np.abs(affine - case.affine).max() < 1e-3  # mm
        assert nib.aff2axcodes(affine) == tuple(case.codes)
        spacing = np.linalg.norm(case.affine[:3, :3], axis=0)
        assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), spacing, rtol=1e-5)
        label = nib.Nifti1Image(case.label, case.affine)  # an annotator saves a label map beside each image
        nib.save(label, image.with_name(image.name.replace(".nii.gz", "_seg.nii.gz")))
    write_list(data)
    sections = json.loads((data / "datalist.json").read_text(encoding="utf-8"))
    assert [len(sections[name]) for name in ("training", "validation")] == [3, 1]
    main(["check", str(data), "--full", "--bundle", TASK])
    main(["store", "build", TASK, str(data), "--layer", "smoke.yaml", "--workers", "2"])
    built = entries(store)
    assert [kind for kind, _ in built] == ["images"] * 4 + ["labels"] * 4

    folders = {
        "dataset_dir": str(data),
        "ckpt_dir": str(tmp_path / "pretrained"),
        "output_dir": str(tmp_path / "a"),
    }
    layers = ["train.yaml", "task_msd_spleen.yaml", "smoke.yaml"]
    run_config(BUNDLES / "pretrain_hybridmim", layers, **folders, **TINY)
    weights = tmp_path / "pretrained" / "model.pt"
    folders |= {
        "ckpt_dir": str(tmp_path / "models"),
        "output_dir": str(tmp_path / "b"),
        "pretrained": str(weights),
    }
    run_config(BUNDLES / TASK, ["train.yaml", "smoke.yaml"], **folders, **TINY)
    assert entries(store) == built  # both trainings read what was built, and nothing else was prepared
    report = json.loads((tmp_path / "models" / "transfer.json").read_text(encoding="utf-8"))
    assert report["matched"]

    image = data / sections["validation"][0]["image"]
    options = ["--layer", "smoke.yaml", "--architecture#features", str(FEATURES).replace(" ", "")]
    model = ["--weights", str(tmp_path / "models" / "model.pt")]
    main(["segment", TASK, str(image), "--out", str(tmp_path / "masks"), *model, *options])
    mask = nib.load(next((tmp_path / "masks").rglob("*.nii.gz")))
    assert mask.shape == nib.load(image).shape
    assert np.allclose(mask.affine, nib.load(image).affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}
    case = cases[next(k for k in range(4) if data / outputs[f"p{k}"] == image)]
    _, affine = in_the_axes_of(case, next((tmp_path / "masks").rglob("*.nii.gz")))
    assert np.abs(affine - case.affine).max() < 1e-3
