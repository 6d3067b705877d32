"""Pictures of a study's cases: their keys, the names of the classes, and one numbering for labels and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mim3d.catalog import TASKS
from mim3d.report import volumes
from mim3d.report.volumes import draw_volumes
from mim3d.study.comparison import compare
from mim3d.study.configs import RunConfig
from mim3d.study.pictures import classes_of, inference
from mim3d.study.plan import Plan
from mim3d.study.results import Results
from tests.mim3d.study.conftest import TINY
from tests.mim3d.study.left import run_all

BRATS = ["necrotic and non-enhancing tumour core", "edema", "enhancing tumour"]


def config(task: str, **keys: object) -> RunConfig:
    bundle = TASKS[task].bundle
    return RunConfig(bundle, (str(bundle / "configs" / "train.yaml"),), keys)


def test_pictures_take_the_keys_that_inference_has(make: Callable[..., Plan]) -> None:
    training = {"validate#sliding_window#overlap": 0.5, "weight_decay": 0.1}
    plan = make(segmentation={"keys": {**training, "sw_overlap": 0.5}})
    run_all(plan, lambda cell: [0.2, 0.5], lambda cell, case: 0.5)
    one = compare(results := Results(plan))[0]
    for result in results.pairs(one.arm, one.reference, one.labels, one.budget)[0]:
        keys = inference(plan, result, "case.nii.gz").config.keys
        assert {"sw_overlap", *TINY} <= set(keys)
        assert not set(training) & set(keys)


@pytest.mark.parametrize(
    ("task", "keys", "names", "values", "expected"),
    [
        ("msd_hippocampus", {}, ["anterior", "posterior"], [0, 1, 2], [0, 1, 2]),
        ("brats", {}, BRATS, [0, 1, 2, 4], [0, 1, 2, 3]),
        ("brats", {"label_source": "msd_task01"}, BRATS, [0, 1, 2, 3], [0, 2, 1, 3]),
    ],
)
def test_a_label_file_is_brought_to_the_values_of_masks(
    task: str, keys: dict[str, object], names: list[str], values: list[int], expected: list[int]
) -> None:
    found, convert = classes_of(config(task, **keys))
    assert [name.split(" hippocampus")[0] for name in found] == names
    assert convert(np.array(values).reshape(-1, 1, 1)).ravel().tolist() == expected


def test_label_and_mask_of_one_class_have_one_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(volumes, "_draw_classes", lambda panel, classes, view: drawn.append(classes))
    label = np.random.RandomState(0).randint(0, 4, (5, 6, 7)).astype(np.uint8)
    mask = np.array([0, 2, 1, 3], np.uint8)[label]
    for name, array in {"image": label.astype(np.float32), "label": label, "mask": mask}.items():
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    files = [tmp_path / f"{name}.nii.gz" for name in ("image", "label", "mask")]
    names, convert = classes_of(config("brats", label_source="msd_task01"))
    draw_volumes(tmp_path / "case.png", files[0], files[1], {"mine": files[2]}, names, "case", convert)
    assert len(drawn) == 6, "three planes of label and mask"
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        assert np.array_equal(first, second)
