"""What the tests of whole plans share: what phantoms hold, the options, and a layer that was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from mim3d.catalog import METHODS
from mim3d.plan.decide import Options
from mim3d.plan.make_plan import Plan

COUNTS = {"training": 3, "validation": 2, "test": 1, "unlabelled": 2}


def options(method: str = "hybridmim", network: str | None = None, small: bool = True) -> Options:
    return Options(METHODS[method], network, 24.0, small)


def renumber(folder: Path, value: int) -> None:
    """Write another value for the spleen, in label files and list."""
    for path in (folder / "labelsTr").iterdir():
        image = nib.load(path)
        values = np.asanyarray(image.dataobj) * np.uint8(value)
        nib.save(nib.Nifti1Image(values, image.affine), path)
    listed = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))
    listed["labels"] = {"0": "background", str(value): "spleen"}
    (folder / "datalist.json").write_text(json.dumps(listed))


def layer(plan: Plan, name: str) -> dict[str, Any]:
    """The keys of a layer of the plan, as written."""
    (path,) = [path for path in plan.files if path.name == f"{name}.yaml"]
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
