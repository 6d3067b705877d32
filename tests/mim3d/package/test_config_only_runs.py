"""A config-only package trains, evaluates and segments where this project cannot be imported."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject

from mim3d.verify.checks_workflows import without_own_code
from tests.mim3d.package.config_only import (
    BUNDLE,
    BUNDLES,
    TINY,
    alone,
    options,
    parsed,
    workflow,
)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_property_of_a_workflow_is_there_without_our_code(
    bundle: Path, packed: Callable[[Path], Path]
) -> None:
    with without_own_code():
        for names in (("train",), ("train", "evaluate"), ("inference",)):
            made = workflow(packed(bundle), *names)
            made.initialize()
            assert made.check_properties() == []


@pytest.fixture(scope="module")
def trained(packed: Callable[[Path], Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package's folder, after a fine-tuning in a process that cannot import this project."""
    root = tmp_path_factory.mktemp("trained") / "package"
    shutil.copytree(packed(BUNDLE), root)
    torch.manual_seed(1)
    network = parsed(root, "network_def", **TINY)
    torch.save(network.state_dict(), root / "start.pt")
    keys = options(TINY | {"epochs": 2, "learning_rate": 1e-2})
    words = ["--config_file", "configs/train.yaml", "--dataset_dir", str(data), "--pretrained", "start.pt", *keys]
    done = alone(root, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.slow
def test_a_package_alone_trains_evaluates_and_segments(trained: Path, data: Path, tmp_path: Path) -> None:
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    start = torch.load(trained / "start.pt", weights_only=True)
    assert weights.keys() == start.keys()
    assert not torch.equal(weights["conv_0.conv_0.conv.weight"], start["conv_0.conv_0.conv.weight"])
    assert list((trained / "eval").glob("events.out.tfevents.*"))
    configs = "['configs/train.yaml','configs/evaluate.yaml']"
    view = {key: TINY[key] for key in ("spacing", "roi_size", "architecture#features")}
    keys = options(view | {"num_workers": 0, "dataset_dir": data})
    done = alone(trained, "--config_file", configs, *keys)
    assert done.returncode == 0, done.stderr[-3000:]
    with (trained / "eval" / "validation" / "val_mean_dice_raw.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["filename"]).parent for row in rows] == [data / "imagesTr"] * 2

    full = {"dataset_dir": str(data), "output_dir": str(tmp_path / "full"), "num_workers": 0, "amp": False, **view}
    made = workflow(BUNDLE, "train", "evaluate", weights=str(trained / "models" / "model.pt"), **full)
    made.initialize()
    made.run()
    with (tmp_path / "full" / "cases.csv").open(encoding="utf-8") as file:
        scores = [float(row["dice"]) for row in csv.DictReader(file)]
    ours = [float(row[name]) for row in rows for name in ("class0", "class1")]
    assert ours == pytest.approx(scores, abs=1e-5)

    image = next((data / "imagesTr").iterdir())
    words = ["--config_file", "configs/inference.yaml", "--dataset_dir", str(image), "--output_dir", str(tmp_path)]
    done = alone(trained, *words, *options(view))
    assert done.returncode == 0, done.stderr[-3000:]
    (mask,) = tmp_path.glob("*_seg.nii.gz")
    assert nib.load(mask).shape == nib.load(image).shape


def spoil(data: Path, folder: Path, how: Callable[[np.ndarray], np.ndarray], kind: str) -> Path:
    """A copy of the data whose first training image or label is changed."""
    shutil.copytree(data, folder)
    item = json.loads((folder / "datalist.json").read_text())["training"][0]
    image = nib.load(folder / item[kind])
    nib.Nifti1Image(how(np.asanyarray(image.dataobj)), image.affine).to_filename(folder / item[kind])
    return folder


def run_training(root: Path, **keys: Any) -> ConfigWorkflow:
    made = workflow(root, "train", **{"epochs": 1, **TINY, **keys})
    made.initialize()
    made.run()
    return made


@pytest.mark.slow
def test_what_would_go_wrong_silently_ends_the_run_in_one_line(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    root, models = packed(BUNDLE), {"ckpt_dir": str(tmp_path / "m"), "output_dir": str(tmp_path / "e")}
    with pytest.raises(
        SystemExit, match=r"^error: dataset_dir '.*' needs a datalist\.json with the sections train"
    ):
        run_training(root, dataset_dir=str(tmp_path), **models)
    wrong = spoil(data, tmp_path / "label", lambda voxels: (voxels * 3).astype(np.uint8), "label")
    with pytest.raises(SystemExit, match=r"^error: label .* has the value [36]; allowed: \[0, 1, 2\]"):
        run_training(root, dataset_dir=str(wrong), **models)
    shutil.rmtree(wrong / "labelsTr")
    with pytest.raises(SystemExit, match=r"^error: the data list names .*labelsTr.*, which does not exist"):
        run_training(root, dataset_dir=str(wrong), **models)
    with pytest.raises(SystemExit, match="^error: pretrained nothing.pt is not a file"):
        run_training(root, dataset_dir=str(data), pretrained="nothing.pt", **models)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pt").write_bytes(b"of another run")
    with pytest.raises(SystemExit, match=r"^error: .* holds model\.pt of another run; --overwrite True"):
        run_training(root, dataset_dir=str(data), **models)
    assert (tmp_path / "m" / "model.pt").read_bytes() == b"of another run"


@pytest.mark.slow
def test_a_misspelled_key_ends_the_command(trained: Path, data: Path) -> None:
    words = ["--config_file", "configs/train.yaml", "--dataset_dir", str(data), "--epoch", "1"]
    done = alone(trained, *words)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: unknown key --epoch; did you mean epochs?")


def test_training_ends_at_a_loss_that_is_not_finite(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    def with_nan(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(np.float32)
        voxels[::2] = np.nan
        return voxels

    wrong = spoil(data, tmp_path / "nan", with_nan, "image")
    keys = {"ckpt_dir": str(tmp_path / "m"), "output_dir": str(tmp_path / "e"), "intensity#nonzero": False}
    made = run_training(packed(BUNDLE), dataset_dir=str(wrong), epochs=3, **keys)
    assert made.trainer.state.iteration < 6
    assert not (tmp_path / "m" / "model.pt").exists()


@pytest.mark.slow
def test_a_client_of_federated_learning_trains_and_evaluates(
    packed: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    """Two rounds of one epoch, in MONAI's own client, which reads the JSON files; the rate falls over both."""
    root = Path(shutil.copytree(packed(BUNDLE), tmp_path / "client"))
    keys = {"dataset_dir": str(data), "epochs": 2, "warmup_share": 0.0, **TINY}
    with without_own_code():
        client = MonaiAlgo(str(root), local_epochs=1, send_weight_diff=False, train_kwargs=keys, eval_kwargs=keys)
        client.initialize({"CLIENT_NAME": "site"})
        weights, rates = client.get_weights().weights, []
        for _ in range(2):
            before = {key: value.clone() for key, value in weights.items()}
            client.train(ExchangeObject(weights=weights), {})
            weights = client.get_weights().weights
            rates.append(client.trainer.optimizer.param_groups[0]["lr"])
        metrics = client.evaluate(ExchangeObject(weights=weights), {}).metrics
        client.finalize()
    assert not torch.equal(weights["final_conv.weight"], before["final_conv.weight"])
    assert rates == pytest.approx([0.5e-2, 0.0], abs=1e-9)
    assert client.trainer.state.epoch == 2
    assert 0.0 <= metrics["val_mean_dice"] <= 1.0
