"""From DICOM to a mask: convert, list, train for a few steps, segment."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.cli import main
from mim3d.phantoms.cases import make_case
from tests.mim3d.convert.dicom_files import write_series
from tests.robustness.stages import infer, train, write_list


@pytest.mark.slow
def test_a_series_goes_through_convert_list_check_training_and_inference(tmp_path: Path) -> None:
    cases = [make_case("hippocampus_mri", number, size="tiny") for number in range(4)]
    for number, case in enumerate(cases):
        patient = {"_0010_0020": f"patient {number}", "_0008_0060": "MR", "_0028_1052": "0"}
        write_series(tmp_path / "scans" / f"p{number}", case.image, case.affine, f"1.2.826.{number}", **patient)
    data = tmp_path / "data"
    main(["convert", str(tmp_path / "scans"), "--out", str(data)])
    with open(data / "convert.csv", encoding="utf-8", newline="") as file:
        outputs = {row["source"]: row["output"] for row in csv.DictReader(file)}
    for number, case in enumerate(cases):  # an annotator saves a label map beside each image
        image = data / outputs[f"p{number}"]
        label = nib.Nifti1Image(case.label, case.affine)
        nib.save(label, image.with_name(image.name.replace(".nii.gz", "_seg.nii.gz")))
    write_list(data)
    sections = json.loads((data / "datalist.json").read_text())
    assert [len(sections[name]) for name in ("training", "validation")] == [3, 1]
    main(["check", str(data), "--full", "--bundle", "seg_msd_hippocampus"])
    train(data, tmp_path)
    image = data / sections["validation"][0]["image"]
    infer(image, tmp_path / "models" / "model.pt", tmp_path / "masks")
    mask = nib.load(next((tmp_path / "masks").glob("*.nii.gz")))
    assert mask.shape == nib.load(image).shape
    assert np.allclose(mask.affine, nib.load(image).affine)
