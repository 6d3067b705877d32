"""Every segmentation bundle as a user runs it, on phantoms: the shipped configs, smaller than their smoke.yaml.

Data, training and pretraining of a bundle are made once, when the first test asks for them.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.transfer import read_card
from tests.bundles.pretraining import parse
from tests.bundles.segmentation_runs import (
    FEATURES,
    ONE_EPOCH,
    TASKS,
    Folder,
    Load,
    Run,
    Same,
    every_bundle,
    places,
    spacing,
    view,
    voxels,
)

pytestmark = pytest.mark.slow
#: What evaluation scores where it is not each class, as values of the label files (MSD Task01: 1 is edema).
REGIONS = {"seg_brats": {"tumour core": (2, 3), "whole tumour": (1, 2, 3), "enhancing tumour": (3,)}}
#: Names of a mask's values, where they are not the scored names.
NAMES = {"seg_brats": ["necrotic and non-enhancing tumour core", "edema", "enhancing tumour"]}
#: A mask's values for those of the phantoms' label files, where they differ: edema 2, non-enhancing tumour 1.
MASK_VALUES = {"seg_brats": {1: 2, 2: 1, 3: 3}}


def scored(name: str) -> dict[str, tuple[int, ...]]:
    """Each name that evaluation scores, and its values in the phantoms' label files."""
    labels = parse(name).get_parsed_content("label_names")
    return REGIONS.get(name) or {label: (value,) for value, label in enumerate(labels) if value}


@pytest.fixture(scope="module")
def trained(phantoms_of: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``trained(name)``: the folder of two epochs from scratch."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_trained")
        override = {**view(name), **FEATURES, **places(phantoms_of(name), out), "epochs": 2, "val_interval": 1}
        run_bundle(name, ["train.yaml", "smoke.yaml"], **override)
        return out

    return make


@pytest.fixture(scope="module")
def segmented(
    phantoms_of: Folder, trained: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory
) -> Folder:
    """``segmented(name)``: masks of all labelled phantoms."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_segmented")
        run_bundle(
            name,
            ["inference.yaml", "smoke.yaml"],
            **view(name),
            **FEATURES,
            dataset_dir=str(phantoms_of(name) / "imagesTr"),
            output_dir=str(out),
            weights=str(trained(name) / "models" / "model.pt"),
        )
        return out

    return make


@pytest.fixture(scope="module")
def pretrained(phantoms_of: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``pretrained(name)``: weights of one epoch of pretraining with the bundle's task layer."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_pretrained")
        masks = {"patch_size": [8, 8, 8], "region_size": [16, 16, 16], "window_size": [16, 32, 32]}
        override = {**view(name), **FEATURES, **ONE_EPOCH, **masks, "contrast_features": 8, "num_samples": 1}
        files = ["train.yaml", *TASKS[name].pretraining_layers(smoke=True)]
        run_bundle("pretrain_hybridmim", files, **override, **places(phantoms_of(name), out))
        return out / "models" / "model.pt"

    return make


@every_bundle
def test_training_leaves_weights_a_card_and_a_resume_point(
    name: str, trained: Folder, build_bundle: Run, load: Load
) -> None:
    models = trained(name) / "models"
    parser = build_bundle(name, ["train.yaml", "smoke.yaml"], **view(name), **FEATURES).parser
    parser.get_parsed_content("network_def").load_state_dict(load(models / "model.pt"), strict=True)
    card = read_card(models / "model.pt")
    assert card is not None
    assert card["method"] == "scratch"
    assert card["view"] == parser.get_parsed_content("view")
    assert card["view"]["spacing"] == spacing(name)
    assert card["label_names"] == ["background", *(NAMES.get(name) or scored(name))]
    assert len(card["datalist_hash"]) == 64
    assert load(models / "resume.pt")["trainer"]["epoch"] == 2


@every_bundle
def test_masks_are_bytes_on_the_inputs_grid_with_values_that_have_names(
    name: str, phantoms_of: Folder, segmented: Folder
) -> None:
    images = sorted((phantoms_of(name) / "imagesTr").iterdir())
    masks = {image: segmented(name) / image.name.replace(".nii.gz", "_seg.nii.gz") for image in images}
    assert sorted(segmented(name).iterdir()) == sorted(masks.values())
    for image, mask in masks.items():
        source, written = nib.load(image), nib.load(mask)
        assert written.shape == source.shape[:3]
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-4)
        assert written.get_data_dtype() == np.uint8
        assert voxels(mask).max() <= len(NAMES.get(name) or scored(name))


@every_bundle
def test_evaluation_scores_each_name_as_counted_from_mask_and_label_file(
    name: str, phantoms_of: Folder, trained: Folder, segmented: Folder, run_bundle: Run, tmp_path: Path
) -> None:
    """The evaluation's own prediction is that of inference: both see the same view, and leave it the same way."""
    run_bundle(
        name,
        ["train.yaml", "smoke.yaml", "evaluate.yaml"],
        **view(name),
        **FEATURES,
        **{**places(phantoms_of(name), trained(name)), "output_dir": str(tmp_path)},
        evaluate_section="test",
    )
    (item,) = json.loads((phantoms_of(name) / "datalist.json").read_text(encoding="utf-8"))["test"]
    label = voxels(phantoms_of(name) / item["label"])
    case = Path(item["image"]).name.removesuffix(".nii.gz")
    mask = voxels(segmented(name) / f"{case}_seg.nii.gz")
    with open(tmp_path / "cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["class"]) for row in rows] == [(case, region) for region in scored(name)]
    renamed = MASK_VALUES.get(name, {})
    for row, values in zip(rows, scored(name).values(), strict=True):
        there = np.isin(label, values)
        painted = np.isin(mask, [renamed.get(value, value) for value in values])
        assert there.any()
        assert int(row["label_voxels"]) == there.sum(), row
        assert int(row["predicted_voxels"]) == painted.sum(), row
        dice = 2 * (there & painted).sum() / (there.sum() + painted.sum())
        assert float(row["dice"]) == pytest.approx(dice), row
    assert any(int(row["predicted_voxels"]) for row in rows)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["classes"]) == set(scored(name))
    assert summary["weights"]["card"]["view"]["spacing"] == spacing(name)


@every_bundle
def test_fine_tuning_starts_from_all_that_its_own_task_layer_pretrained(
    name: str, phantoms_of: Folder, pretrained: Folder, run_bundle: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    weights = pretrained(name)
    start = tmp_path / "start.pt"
    keep = tmp_path / "keep.yaml"  # what the first step starts from
    keep.write_text(
        f"+initialize:\n- \"$torch.save(@network_def.state_dict(), '{start}') if @optimizer else 0\"\n"
    )
    run_bundle(
        name,
        ["train.yaml", "smoke.yaml", str(keep)],
        **{**view(name), **FEATURES, **ONE_EPOCH, **places(phantoms_of(name), tmp_path)},
        pretrained=str(weights),
    )
    report = json.loads((tmp_path / "models" / "transfer.json").read_text(encoding="utf-8"))
    assert report["encoder_share"] == 1.0
    new = {"final_conv.weight", "final_conv.bias"}
    assert set(report["expected_missing"]) == new
    for problem in ("adapted", "missing", "wrong_shape", "unexpected", "view_differences", "network_differences"):
        assert report[problem] == [], problem
    given, found = load(weights), load(start)
    assert {key for key in found if not torch.equal(found[key], given[key])} == new
    card = read_card(tmp_path / "models" / "model.pt")
    assert card is not None
    assert card["method"] == "fine-tuned"
    assert not same(load(tmp_path / "models" / "model.pt"), found)
