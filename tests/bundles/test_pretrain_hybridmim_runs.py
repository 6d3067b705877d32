"""pretrain_hybridmim as a user runs it: the shipped configs through ``python -m monai.bundle run``, on phantoms.

The runs are shared among the tests: one of 2 epochs, which is resumed, evaluated, inferred from and started from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from mim3d.phantoms import write_phantoms
from tests.bundles.commands import Result, launch, scalars

pytestmark = pytest.mark.slow
PARTS = {"reconstruction", "count", "position", "consistency", "contrast"}
TINY = """
spacing: [8.0, 8.0, 8.0]
roi_size: [32, 32, 32]
patch_size: [8, 8, 8]
region_size: [16, 16, 16]
window_size: [16, 32, 32]
architecture#features: [4, 4, 8, 8, 16, 4]
contrast_features: 8
num_samples: 1
warmup_share: 0.1
val_interval: 1
"""
TWO_EPOCHS, FOUR_EPOCHS = {"epochs": 2, "lr_scheduler#total_steps": 8}, {"epochs": 4}  # of 2 steps: one schedule
Load = Callable[[Path], dict[str, Any]]
Same = Callable[[Any, Any], bool]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms(folder, size="tiny", training=2, validation=1, test=1, unlabelled=4, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    """``run(folder, layer, ..., first="train.yaml", ranks=1, extra="", key=value)``: a run that must succeed."""
    tiny = tmp_path_factory.mktemp("layers")

    def make(
        folder: Path,
        *layers: str,
        first: str = "train.yaml",
        ranks: int = 1,
        extra: str = "",
        ok: bool = True,
        **keys: Any,
    ) -> Result:
        last = tiny / f"{folder.name}.yaml"
        last.write_text(TINY + extra, encoding="utf-8")
        # The tiny layer stands before the others: what they change must not be undone.
        files = [first, "smoke.yaml", str(last), *layers]
        places = {"dataset_dir": data, "output_dir": folder}
        if first == "train.yaml":
            places["ckpt_dir"] = folder
        result = launch("pretrain_hybridmim", files, ranks, **{**places, **keys})
        assert not ok or result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return make


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    run(folder, **TWO_EPOCHS)
    return folder


def test_training_leaves_flat_weights_that_the_bare_network_takes(trained: Path, load: Load) -> None:
    from monai.networks.nets import BasicUNet

    state = load(trained / "model.pt")
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    BasicUNet(3, 1, 1, features=(4, 4, 8, 8, 16, 4)).load_state_dict(state, strict=True)
    pretext = load(trained / "pretext.pt")
    assert {f"network.{key}" for key in state} < set(pretext)
    assert all(torch.equal(pretext[f"network.{key}"], value) for key, value in state.items())
    assert load(trained / "resume.pt")["trainer"]["epoch"] == 2


def test_card_states_the_view_the_network_and_the_sha(trained: Path) -> None:
    from custom_components.transfer import read_card

    card = read_card(trained / "model.pt")
    assert card is not None
    assert card["network"]["class"] == "BasicUNet"
    assert card["network"]["arguments"]["features"] == [4, 4, 8, 8, 16, 4]
    assert card["view"]["spacing"] == [8.0, 8.0, 8.0]
    assert card["view"]["intensity"] == "HU -175 to 250 -> [0, 1]"
    assert len(card["datalist_hash"]) == 64


def test_tensorboard_has_every_loss_part_of_training_and_validation(trained: Path) -> None:
    found = scalars(trained)
    assert {"loss", *PARTS, "negatives"} <= set(found)
    assert {"val_loss", *(f"val_{part}" for part in PARTS - {"contrast"}), "val_masked_mae"} <= set(found)
    assert len(found["loss"]) == 4
    assert set(found["negatives"]) == {2.0}, "two views of the one other volume"
    assert (trained / "reconstruction.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("workers", [0, 2])
def test_two_epochs_and_two_resumed_equal_four(
    workers: int, trained: Path, run: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    halves, whole = tmp_path / "halves", tmp_path / "whole"
    if workers:
        run(halves, **TWO_EPOCHS, num_workers=workers)
    else:
        shutil.copytree(trained, halves)
    run(halves, resume=True, **FOUR_EPOCHS, num_workers=workers)
    run(whole, **FOUR_EPOCHS, num_workers=workers)
    first, second = load(halves / "resume.pt"), load(whole / "resume.pt")
    assert first["trainer"]["epoch"] == 4
    assert [key for key in second if not same(first[key], second[key])] == []
    assert same(load(halves / "model.pt"), load(whole / "model.pt"))
    assert scalars(halves)["loss"] == scalars(whole)["loss"]


def test_evaluation_repeats_to_the_digit(trained: Path, run: Run, tmp_path: Path) -> None:
    reports = []
    for name in ("first", "second"):
        run(tmp_path / name, "evaluate.yaml", ckpt_dir=trained)
        reports.append(json.loads((tmp_path / name / "pretext_metrics.json").read_text(encoding="utf-8")))
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert {"val_masked_mae", "val_count_accuracy", "val_position_accuracy"} <= set(reports[0]["metrics"])
    card = json.loads((trained / "pretext.card.json").read_text(encoding="utf-8"))
    assert reports[0]["weights_sha256"] == card["sha256"]
    assert reports[0]["metrics"]["val_loss"] == pytest.approx(card["metric"]["val_loss"], rel=1e-6)


def test_inference_writes_volumes_that_overlay_and_hides_what_it_says(
    trained: Path, run: Run, data: Path, tmp_path: Path
) -> None:
    listed = json.loads((data / "datalist.json").read_text(encoding="utf-8"))["test"][0]["image"]
    image, out = data / listed, tmp_path / "out"
    run(out, first="inference.yaml", dataset_dir=image, weights=trained / "model.pt")
    case = image.name.removesuffix(".nii.gz")
    names = ("original", "masked", "reconstruction", "masked_voxels")
    files = {name: nib.load(out / case / f"{case}_{name}.nii.gz") for name in names}
    assert (out / case / f"{case}_panel.png").read_bytes()[:4] == b"\x89PNG"
    assert len({file.shape for file in files.values()}) == 1
    assert all(np.allclose(file.affine, files["original"].affine) for file in files.values())
    assert np.allclose(files["original"].header.get_zooms()[:3], 8.0)
    voxels = {name: np.asarray(file.dataobj) for name, file in files.items()}
    hidden = voxels["masked_voxels"] > 0
    assert 0.2 < hidden.mean() < 0.6
    assert (voxels["masked"][hidden] == 0).all()
    assert (voxels["masked"][~hidden] == voxels["original"][~hidden]).all()
    assert (voxels["original"][hidden] != 0).any()
    # In space: the image still lies where the file says, to the half of a voxel at each end.
    source = nib.load(image)
    corners = np.array([np.abs(np.array(f.shape[:3]) @ f.affine[:3, :3].T) for f in (source, files["original"])])
    assert np.allclose(corners[0], corners[1], atol=12.0)


def test_two_ranks_start_from_a_file_and_end_with_equal_weights(
    trained: Path, run: Run, tmp_path: Path, load: Load, same: Same
) -> None:
    folder = tmp_path / "ranks"
    each = "+run:\n- \"$torch.save(@pretext.state_dict(), @ckpt_dir + '/rank%d.pt' % @rank)\"\n"
    run(
        folder,
        "multi_gpu_train.yaml",
        ranks=2,
        extra=each,
        epochs=1,
        batch_size=1,
        pretrained=trained / "model.pt",
    )
    ranks = [load(folder / f"rank{rank}.pt") for rank in (0, 1)]
    assert same(*ranks)
    assert set(load(folder / "model.pt")) == set(load(trained / "model.pt")), "keys are those of the bare network"
    assert set(load(folder / "resume.pt")["pretext"]) == set(ranks[0])
    report = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))
    assert report["encoder_share"] == 1
    found = scalars(folder)
    assert len(found["loss"]) == 2, "rank 0 alone logs"
    assert set(found["negatives"]) == {2.0}, "negatives come from the other rank"


@pytest.mark.parametrize("case", ["misspelled key", "empty folder", "truncated file"])
def test_bad_input_ends_with_one_line_before_anything_is_written(
    case: str, run: Run, data: Path, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"misspelled key": {"epoch": 3}}.get(case, {})
    told = "'epoch' (nearest: 'epochs')"
    if case != "misspelled key":
        keys["dataset_dir"] = tmp_path / "data"
        keys["dataset_dir"].mkdir()
        told = str(keys["dataset_dir"])
    if case == "truncated file":
        for number, file in enumerate(sorted((data / "imagesUn").iterdir())):
            content = file.read_bytes()
            (keys["dataset_dir"] / file.name).write_bytes(content[: len(content) // 2] if number == 1 else content)
    result = run(tmp_path / "out", ok=False, epochs=1, **keys)
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert result.stderr.strip().splitlines()[-1] == errors[0]
    assert told in errors[0]
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "out").glob("*.pt"))
