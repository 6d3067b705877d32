"""Every pretraining bundle as a user runs it, on phantoms.

The runs of a method are shared among its tests: one of 2 epochs, which is resumed, evaluated, inferred from and
fine-tuned. What needs no process of its own runs in this one.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks import nets

from custom_components.transfer import read_card
from tests.bundles.commands import Command, launch, scalars
from tests.bundles.pretraining import trained_of
from tests.bundles.pretraining_runs import NETWORK, OWN, SHARED, SMALL, TRAINED, VALIDATED, VIEW, WORKERS

pytestmark = pytest.mark.slow
TWO_EPOCHS, FOUR_EPOCHS = {"epochs": 2, "total_steps": 8}, {"epochs": 4}  # of 2 steps: one schedule
every_method = pytest.mark.parametrize("method", OWN)
Load = Callable[[Path], dict[str, Any]]
Same = Callable[[Any, Any], bool]
Folder = Callable[[str], Path]
Run = Callable[..., ConfigWorkflow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pretrain_command: Command) -> Folder:
    """``trained(method)``: the folder of two epochs."""

    @cache
    def make(method: str) -> Path:
        folder = tmp_path_factory.mktemp(method) / "run"
        pretrain_command(method, folder, **TWO_EPOCHS, num_workers=WORKERS[method])
        return folder

    return make


# --- train, resume, evaluate ------------------------------------------------------------------------------


@every_method
def test_training_leaves_flat_weights_a_card_and_a_resume_point(method: str, trained: Folder, load: Load) -> None:
    folder = trained(method)
    state = load(folder / "model.pt")
    pretext = load(folder / "pretext.pt")
    assert {f"network.{key}" for key in state} < set(pretext)
    assert all(torch.equal(pretext[f"network.{key}"], value) for key, value in state.items())
    card = read_card(folder / "model.pt")
    assert card is not None
    assert card["method"].lower() == method
    assert card["trained"] == list(trained_of(f"pretrain_{method}", None))
    made = getattr(nets, card["network"]["class"])(**card["network"]["arguments"])
    made.load_state_dict(state, strict=True)
    assert type(made).__name__ == NETWORK[method]
    assert card["view"]["spacing"] == [8.0, 8.0, 8.0]
    assert len(card["datalist_hash"]) == 64
    resume = load(folder / "resume.pt")
    assert resume["trainer"]["epoch"] == 2
    assert bool(resume["ema"]) == ("ema_decay" in OWN[method])


@every_method
def test_tensorboard_has_every_loss_part_of_training_and_validation(method: str, trained: Folder) -> None:
    found = scalars(trained(method))
    assert {"loss", "val_loss", *TRAINED[method], *(f"val_{name}" for name in VALIDATED[method])} <= set(found)
    assert len(found["loss"]) == 4
    assert len(found["val_loss"]) == 2
    assert set(found.get("negatives", [2.0])) == {2.0}, "two views of the one other volume"
    assert (trained(method) / "reconstruction.png").is_file() == (method != "simclr")


@every_method
def test_two_epochs_and_two_resumed_equal_four(
    method: str, trained: Folder, pretrain: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    halves, whole = tmp_path / "halves", tmp_path / "whole"
    shutil.copytree(trained(method), halves)
    pretrain(method, halves, resume=True, **FOUR_EPOCHS, num_workers=WORKERS[method])
    # The probe changes nothing: where it does not select the weights, the uninterrupted run has none.
    probe = {} if "key_metric" in OWN[method] else {"probe_interval": None}
    pretrain(method, whole, **FOUR_EPOCHS, **probe, num_workers=WORKERS[method])
    first, second = load(halves / "resume.pt"), load(whole / "resume.pt")
    assert first["trainer"]["epoch"] == 4
    assert [key for key in second if not same(first[key], second[key])] == []
    assert same(load(halves / "model.pt"), load(whole / "model.pt"))
    assert scalars(halves)["loss"] == scalars(whole)["loss"]


@every_method
def test_evaluation_repeats_to_the_digit(
    method: str, trained: Folder, pretrain_command: Command, pretrain: Run, tmp_path: Path
) -> None:
    folder = trained(method)
    pretrain_command(method, tmp_path / "first", "evaluate.yaml", ckpt_dir=folder)
    pretrain(method, tmp_path / "second", "evaluate.yaml", ckpt_dir=str(folder))
    reports = [
        json.loads((tmp_path / name / "pretext_metrics.json").read_text(encoding="utf-8"))
        for name in ("first", "second")
    ]
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert set(reports[0]["metrics"]) == {"val_loss", *(f"val_{name}" for name in VALIDATED[method])}
    card = read_card(folder / "pretext.pt")
    assert card is not None
    assert reports[0]["weights_sha256"] == card["sha256"]
    ((key, value),) = card["metric"].items()
    assert key == OWN[method].get("key_metric", "val_loss")
    assert reports[0]["metrics"][key] == pytest.approx(value, rel=1e-6)


# --- inference ------------------------------------------------------------------------------------------------


def inputs(phantoms: Path) -> list[Path]:
    listed = json.loads((phantoms / "datalist.json").read_text(encoding="utf-8"))["test"]
    return [phantoms / item["image"] for item in listed]


@pytest.mark.parametrize(
    ("method", "ratio", "side", "weights"),
    [("hybridmim", 0.5, 8, "pretext.pt"), ("mae", 0.65, 16, "pretext.pt"), ("simmim", 0.5, 16, "pretext.pt")],
)
def test_inference_writes_volumes_that_overlay_and_masks_what_it_says(
    method: str, ratio: float, side: int, weights: str, trained: Folder, phantoms: Path, tmp_path: Path
) -> None:
    image, out = inputs(phantoms)[0], tmp_path / "out"
    keys = {"dataset_dir": image, "output_dir": out, "weights": trained(method) / weights}
    done = launch(f"pretrain_{method}", ["inference.yaml"], **VIEW, **SMALL[method], **SHARED[method], **keys)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    case = image.name.removesuffix(".nii.gz")
    names = ("original", "masked", "reconstruction", "masked_voxels")
    files = {name: nib.load(out / case / f"{case}_{name}.nii.gz") for name in names}
    assert (out / case / f"{case}_panel.png").read_bytes()[:4] == b"\x89PNG"
    assert len({file.shape for file in files.values()}) == 1
    assert all(np.allclose(file.affine, files["original"].affine) for file in files.values())
    assert np.allclose(files["original"].header.get_zooms()[:3], 8.0)
    voxels = {name: np.asarray(file.dataobj) for name, file in files.items()}
    assert all(np.isfinite(values).all() for values in voxels.values())
    masked = voxels["masked_voxels"] > 0
    assert (voxels["masked"][masked] == 0).all()
    assert (voxels["masked"][~masked] == voxels["original"][~masked]).all()
    assert (voxels["original"][masked] != 0).any()
    # Patches are counted from the first voxel; the last along an axis may be cut off.
    patches = np.pad(masked, [(0, -length % side) for length in masked.shape])
    for axis in range(3):
        patches = np.logical_or.reduceat(patches, range(0, patches.shape[axis], side), axis=axis)
    assert patches.size > 8, "more than one window"
    assert patches.sum() == round(ratio * patches.size)
    # In space: the image still lies where the file says, to the half of a voxel at each end.
    source = nib.load(image)
    corners = np.array([np.abs(np.array(f.shape[:3]) @ f.affine[:3, :3].T) for f in (source, files["original"])])
    assert np.allclose(corners[0], corners[1], atol=12.0)


def test_simclr_describes_each_volume_by_a_row_of_numbers(
    trained: Folder, phantoms: Path, run_bundle: Run, tmp_path: Path
) -> None:
    images = inputs(phantoms)
    weights = trained("simclr") / "model.pt"
    keys = {"dataset_dir": str(images[0].parent), "weights": str(weights), **VIEW, **SMALL["simclr"]}
    done = launch("pretrain_simclr", ["inference.yaml"], **keys, output_dir=tmp_path / "first")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run_bundle("pretrain_simclr", ["inference.yaml"], **keys, output_dir=str(tmp_path / "second"))
    tables = []
    for name in ("first", "second"):
        with open(tmp_path / name / "features.csv", encoding="utf-8") as file:
            tables.append(list(csv.reader(file)))
    assert tables[0] == tables[1]
    assert [row[0] for row in tables[0]] == [str(path) for path in sorted(images[0].parent.glob("*.nii.gz"))]
    features = np.array([row[1:] for row in tables[0]], dtype=float)
    assert features.shape == (len(tables[0]), 24)
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == len(features) > 1


# --- ranks --------------------------------------------------------------------------------------------------


@every_method
def test_two_ranks_start_from_a_file_and_end_with_equal_weights(
    method: str, trained: Folder, pretrain_command: Command, tmp_path: Path, load: Load, same: Same
) -> None:
    folder, keep = tmp_path / "ranks", tmp_path / "keep.yaml"
    kept = "(@pretext.state_dict(), @ema.module.state_dict())"
    keep.write_text(f"+run:\n- \"$torch.save({kept}, @ckpt_dir + '/rank%d.pt' % @rank)\"\n", encoding="utf-8")
    start = trained(method) / "model.pt"
    layers = ("multi_gpu_train.yaml", str(keep))
    pretrain_command(method, folder, *layers, ranks=2, epochs=1, batch_size=1, pretrained=start)
    first, second = (load(folder / f"rank{rank}.pt") for rank in (0, 1))
    assert same(first, second)
    given, saved = load(start), load(folder / "model.pt")
    assert set(saved) == set(given), "keys are those of the bare network"
    assert {key for key in saved if not torch.equal(saved[key], first[1][f"network.{key}"])} == set()
    changed = {key for key in given if not torch.equal(first[0][f"network.{key}"], given[key])}
    prefixes = trained_of(f"pretrain_{method}", None)
    assert {key for key in given if key.startswith(prefixes) and "norm_cross_attn" not in key} <= changed
    report = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))
    assert report["encoder_share"] == 1
    found = scalars(folder)
    assert len(found["loss"]) == 2, "rank 0 alone logs"
    assert set(found.get("negatives", [2.0])) == {2.0}, "negatives come from the other rank"


# --- into segmentation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mae", "simmim", "simclr"])  # HybridMIM: test_segmentation_runs.py
def test_fine_tuning_starts_from_the_encoder_that_was_trained_and_nothing_else(
    method: str, trained: Folder, phantoms: Path, run_bundle: Run, tmp_path: Path, load: Load
) -> None:
    weights, start, keep = trained(method) / "model.pt", tmp_path / "start.pt", tmp_path / "keep.yaml"
    keep.write_text(  # what the first step starts from
        f"+initialize:\n- \"$torch.save(@network_def.state_dict(), '{start}') if @optimizer else 0\"\n"
    )
    run_bundle(
        "seg_btcv",
        ["train.yaml", "smoke.yaml", "unetr.yaml", str(keep)],
        **{**VIEW, **SMALL[method], "epochs": 1, "val_interval": 1, "num_samples": 1, "pretrained": str(weights)},
        seed=7,  # under the pretraining's own, what neither has trained would be equal by chance
        **{
            "dataset_dir": str(phantoms),
            "ckpt_dir": str(tmp_path / "models"),
            "output_dir": str(tmp_path / "eval"),
        },
    )
    report = json.loads((tmp_path / "models" / "transfer.json").read_text(encoding="utf-8"))
    given, found = load(weights), load(start)
    output, encoder = ({key for key in found if key.startswith(prefix)} for prefix in ("out.", "vit."))
    assert report["encoder_share"] == 1.0
    assert set(report["matched"]) == encoder
    assert set(report["expected_missing"]) == output
    assert set(report["untrained"]) == set(found) - encoder - output
    for problem in ("adapted", "missing", "wrong_shape", "unexpected", "view_differences", "network_differences"):
        assert report[problem] == [], problem
    assert {key for key in encoder if not torch.equal(found[key], given[key])} == set()
    drawn = {key for key in found if key.endswith("conv.weight")} - encoder - output
    assert drawn
    assert not any(torch.equal(found[key], given[key]) for key in drawn)
    card = read_card(tmp_path / "models" / "model.pt")
    assert card is not None
    assert card["method"] == "fine-tuned"
