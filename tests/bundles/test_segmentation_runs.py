"""Every segmentation bundle as a user runs it, on phantoms: the shipped configs, smaller than their smoke.yaml.

Data, training and pretraining of a bundle are made once, when the first test asks for them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from custom_components.transfer import read_card
from mim3d import catalog
from mim3d.phantoms import write_phantoms
from tests.bundles.pretraining import parse

pytestmark = pytest.mark.slow
Load = Callable[[Path], dict[str, Any]]
Same = Callable[[Any, Any], bool]
Run = Callable[..., ConfigWorkflow]
Folder = Callable[[str], Path]


TASKS = {task.bundle.name: task for task in catalog.TASKS.values()}
#: What evaluation scores where it is not each class, as values of the label files (MSD Task01: 1 is edema).
REGIONS = {"seg_brats": {"tumour core": (2, 3), "whole tumour": (1, 2, 3), "enhancing tumour": (3,)}}
#: Names of a mask's values, where they are not the scored names.
NAMES = {"seg_brats": ["necrotic and non-enhancing tumour core", "edema", "enhancing tumour"]}
every_bundle = pytest.mark.parametrize("name", TASKS)
FEATURES = {"architecture#features": [4, 4, 8, 8, 16, 4]}
ONE_EPOCH = {"epochs": 1, "val_interval": 1}
#: The layers' networks, small. Swin's normalisation needs two cells at the bottom: 64 voxels, halved five times.
SMALL = {
    "segresnet.yaml": {"architecture#init_filters": 8},
    "swin_unetr.yaml": {"architecture#feature_size": 12, "roi_size": [64, 32, 32]},
    "unetr.yaml": {f"architecture#{k}": v for k, v in {"feature_size": 4, "hidden_size": 24}.items()}
    | {"architecture#mlp_dim": 48, "architecture#num_heads": 2},
}
#: A mask's values for those of the phantoms' label files, where they differ: edema 2, non-enhancing tumour 1.
MASK_VALUES = {"seg_brats": {1: 2, 2: 1, 3: 3}}


def scored(name: str) -> dict[str, tuple[int, ...]]:
    """Each name that evaluation scores, and its values in the phantoms' label files."""
    labels = parse(name).get_parsed_content("label_names")
    return REGIONS.get(name) or {label: (value,) for value, label in enumerate(labels) if value}


def spacing(name: str) -> list[float]:
    """A coarse view, in mm, which is quick."""
    return [3.0 if TASKS[name].small else 8.0] * 3


def view(name: str) -> dict[str, Any]:
    return {"spacing": spacing(name), "roi_size": [32, 32, 32]}


def places(data: Path, out: Path) -> dict[str, str]:
    return {"dataset_dir": str(data), "ckpt_dir": str(out / "models"), "output_dir": str(out / "eval")}


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``data(name)``: two phantoms to train on, one for validation, one to test, two without label."""

    @cache
    def make(name: str) -> Path:
        counts = {"training": 2, "validation": 1, "test": 1, "unlabelled": 2}
        folder = tmp_path_factory.mktemp(name) / "data"
        return write_phantoms(folder, TASKS[name].phantoms, size="tiny", progress=False, **counts).parent

    return make


@pytest.fixture(scope="module")
def trained(data: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``trained(name)``: the folder of two epochs from scratch."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_trained")
        override = {**view(name), **FEATURES, **places(data(name), out), "epochs": 2, "val_interval": 1}
        run_bundle(name, ["train.yaml", "smoke.yaml"], **override)
        return out

    return make


@pytest.fixture(scope="module")
def segmented(data: Folder, trained: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``segmented(name)``: masks of all labelled phantoms."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_segmented")
        run_bundle(
            name,
            ["inference.yaml", "smoke.yaml"],
            **view(name),
            **FEATURES,
            dataset_dir=str(data(name) / "imagesTr"),
            output_dir=str(out),
            weights=str(trained(name) / "models" / "model.pt"),
        )
        return out

    return make


@pytest.fixture(scope="module")
def pretrained(data: Folder, run_bundle: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """``pretrained(name)``: weights of one epoch of pretraining with the bundle's task layer."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp(f"{name}_pretrained")
        masks = {"patch_size": [8, 8, 8], "region_size": [16, 16, 16], "window_size": [16, 32, 32]}
        override = {**view(name), **FEATURES, **ONE_EPOCH, **masks, "contrast_features": 8, "num_samples": 1}
        files = ["train.yaml", *TASKS[name].pretraining_layers(smoke=True)]
        run_bundle("pretrain_hybridmim", files, **override, **places(data(name), out))
        return out / "models" / "model.pt"

    return make


# --- train, evaluate, infer, fine-tune --------------------------------------------------------------------


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
    name: str, data: Folder, segmented: Folder
) -> None:
    images = sorted((data(name) / "imagesTr").iterdir())
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
    name: str, data: Folder, trained: Folder, segmented: Folder, run_bundle: Run, tmp_path: Path
) -> None:
    """The evaluation's own prediction is that of inference: both see the same view, and leave it the same way."""
    run_bundle(
        name,
        ["train.yaml", "smoke.yaml", "evaluate.yaml"],
        **view(name),
        **FEATURES,
        **{**places(data(name), trained(name)), "output_dir": str(tmp_path)},
        evaluate_section="test",
    )
    (item,) = json.loads((data(name) / "datalist.json").read_text(encoding="utf-8"))["test"]
    label = voxels(data(name) / item["label"])
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
    name: str, data: Folder, pretrained: Folder, run_bundle: Run, tmp_path: Path, load: Load, same: Same
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
        **{**view(name), **FEATURES, **ONE_EPOCH, **places(data(name), tmp_path)},
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


# --- networks ---------------------------------------------------------------------------------------------


@every_bundle
@pytest.mark.parametrize("first", ["train.yaml", "inference.yaml"])
@pytest.mark.parametrize("layer", [None, *SMALL])
def test_every_network_takes_the_shipped_window_at_its_shipped_size(
    name: str, first: str, layer: str | None, build_bundle: Run
) -> None:
    parser = build_bundle(name, [first, *([layer] if layer else [])]).parser
    channels, roi = (parser.get_parsed_content(key) for key in ("channels", "roi_size"))
    network = parser.get_parsed_content("network_def").eval().to("meta")  # shapes alone, without a number
    found = network(torch.zeros(1, len(channels), *roi, device="meta"))
    assert found.shape == (1, len(parser.get_parsed_content("output_names")), *roi)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("segresnet.yaml", "seg_msd_liver"),
        ("segresnet.yaml", "seg_brats"),
        ("swin_unetr.yaml", "seg_btcv"),
        ("swin_unetr.yaml", "seg_brats"),
        ("unetr.yaml", "seg_msd_spleen"),
        ("unetr.yaml", "seg_brats"),
    ],
)
def test_a_network_layer_trains_and_segments(
    name: str, layer: str, data: Folder, run_bundle: Run, tmp_path: Path, load: Load
) -> None:
    override = {**view(name), **SMALL[layer]}
    keep = tmp_path / "keep.yaml"
    start = tmp_path / "start.pt"
    keep.write_text(f"+initialize:\n- \"$torch.save(@network_def.state_dict(), '{start}')\"\n")
    files = ["train.yaml", "smoke.yaml", layer, str(keep)]
    short = {**ONE_EPOCH, "num_samples": 1, "rotation_axes": [1, 2]}
    made = run_bundle(name, files, **override, **short, **places(data(name), tmp_path))
    assert torch.isfinite(made.trainer.state.output["loss"])
    weights = tmp_path / "models" / "model.pt"
    first, last = load(start), load(weights)
    assert first.keys() == last.keys()
    assert all(torch.isfinite(value).all() for value in last.values() if value.is_floating_point())
    assert sum(not torch.equal(first[key], last[key]) for key in last) > len(last) / 2
    image = sorted((data(name) / "imagesTr").iterdir())[0]
    out = {"dataset_dir": str(image), "output_dir": str(tmp_path / "out"), "weights": str(weights)}
    run_bundle(name, ["inference.yaml", "smoke.yaml", layer], **override, **out)
    (mask,) = (tmp_path / "out").iterdir()
    assert voxels(mask).shape == nib.load(image).shape[:3]


# --- resume and ranks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seg_brats", "seg_msd_liver"])
def test_two_epochs_and_two_resumed_equal_four(
    name: str, data: Folder, run_bundle: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    for folder, parts in (("halves", [(2, False), (4, True)]), ("whole", [(4, False)])):
        for epochs, resume in parts:
            override = {**view(name), **FEATURES, **places(data(name), tmp_path / folder)}
            # The schedule of four epochs in both: two alone would decay sooner.
            override |= {"epochs": epochs, "resume": resume, "val_interval": 1, "total_steps": 4, "num_samples": 1}
            run_bundle(name, ["train.yaml", "smoke.yaml"], **override)
    halves, whole = (load(tmp_path / folder / "models" / "resume.pt") for folder in ("halves", "whole"))
    assert halves["trainer"]["epoch"] == 4
    assert [key for key in whole if not same(halves[key], whole[key])] == []
    assert same(*(load(tmp_path / folder / "models" / "model.pt") for folder in ("halves", "whole")))


@pytest.mark.parametrize(("name", "layers"), [("seg_brats", ["unetr.yaml"]), ("seg_msd_hippocampus", [])])
def test_two_ranks_train_one_network(
    name: str,
    layers: list[str],
    data: Folder,
    torchrun_bundle: Callable[..., None],
    tmp_path: Path,
    load: Load,
    same: Same,
) -> None:
    keep = tmp_path / "keep.yaml"  # what each rank starts from, and ends with
    save = "\"$torch.save(@network_def.state_dict(), '{}/{}%d.pt' % @rank)\""
    parts = [f"+{key}:\n- {save.format(tmp_path, key)}\n" for key in ("initialize", "finalize")]
    keep.write_text("".join(parts))
    small = SMALL[layers[0]] if layers else FEATURES
    # Two epochs, since DDP names a parameter without gradient at the second step.
    override = {**view(name), **small, **places(data(name), tmp_path), "epochs": 2, "val_interval": 2}
    files = ["train.yaml", "smoke.yaml", *layers, "multi_gpu_train.yaml", str(keep)]
    torchrun_bundle(name, files, **override, batch_size=1, num_samples=1, learning_rate=0.01)
    first, second = (load(tmp_path / f"finalize{rank}.pt") for rank in range(2))
    assert same(first, second)
    start = load(tmp_path / "initialize0.pt")
    assert sum(not torch.equal(first[key], start[key]) for key in first) > len(first) / 2
    assert set(load(tmp_path / "models" / "model.pt")) == set(first), "keys are those of the bare network"
    assert load(tmp_path / "models" / "resume.pt")["trainer"]["iteration"] == 2
