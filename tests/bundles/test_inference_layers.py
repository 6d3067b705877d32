"""Layers of inference.yaml: test-time flips, ensembles, ONNX Runtime and TensorRT."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.faults import Fault, fault_in
from mim3d import cli
from mim3d.catalog import TASKS
from tests.bundles.pretraining import parse

TINY: dict[str, Any] = {"roi_size": [32, 32, 48], "architecture#features": [4, 4, 8, 8, 16, 4]}
SHAPE, BUNDLE = (24, 30, 40), "seg_msd_hippocampus"
Build = Callable[..., Any]
bundles = pytest.mark.parametrize("bundle", [task.bundle.name for task in TASKS.values()])


@pytest.fixture(scope="module")
def folds(build_bundle: Build, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Random weights of two tiny networks."""
    files = [str(tmp_path_factory.mktemp("weights") / f"fold{number}.pt") for number in range(2)]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        made = build_bundle(BUNDLE, ["inference.yaml"], **TINY)
        torch.save(made.parser.get_parsed_content("network_def").state_dict(), file)
    return files


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A volume of one window on the network's own grid."""
    data = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def segment(image: Path, out: Path, layers: list[str], **keys: Any) -> np.ndarray:
    """The mask of ``mim3d segment``."""
    words = ["segment", BUNDLE, str(image), "--out", str(out), "--layer", *layers, "--device", "cpu"]
    cli.main([*words, *(word for key, value in {**TINY, **keys}.items() for word in (f"--{key}", str(value)))])
    return voxels(out / "a_seg.nii.gz")


@pytest.mark.parametrize(
    ("layers", "networks", "axes"),
    [
        (["tta.yaml"], 1, [0]),
        (["ensemble.yaml"], 2, []),
        pytest.param(["ensemble.yaml", "tta.yaml"], 2, [2, 0], marks=pytest.mark.slow),
    ],
)
def test_probabilities_are_the_mean_over_flips_and_folds(
    layers: list[str],
    networks: int,
    axes: list[int],
    build_bundle: Build,
    folds: list[str],
    image: Path,
    tmp_path: Path,
) -> None:
    keys: dict[str, Any] = {"flip_axes": axes} if "tta.yaml" in layers else {}
    keys |= {"ensemble_weights": folds} if networks == 2 else {"weights": folds[0]}
    made = build_bundle(
        BUNDLE,
        ["inference.yaml", *layers],
        **TINY,
        **keys,
        dataset_dir=str(image),
        output_dir=str(tmp_path / "run"),
        save_probabilities=True,
    )
    made.initialize()
    made.run()
    parser = build_bundle(BUNDLE, ["inference.yaml"], **TINY).parser
    network = parser.get_parsed_content("network_def").eval()
    given = parser.get_parsed_content("preprocessing")({"image": str(image)})["image"].numpy()
    found = []
    for file, chosen in product(folds[:networks], product([False, True], repeat=len(axes))):
        network.load_state_dict(torch.load(file))
        flips = [axis + 1 for axis, flip in zip(axes, chosen, strict=True) if flip]
        with torch.no_grad():
            logits = network(torch.from_numpy(np.flip(given, flips).copy())[None])[0].numpy()
        odds = np.exp(np.flip(logits, flips).astype(np.float64))
        found.append(odds / odds.sum(0))
    mean = (sum(found) / len(found))[:, 4:28, 1:31, 4:44]  # without the padding
    written = voxels(tmp_path / "run" / "a_probabilities.nii.gz")
    np.testing.assert_allclose(written, np.moveaxis(mean, 0, -1), atol=1e-5)
    mask = voxels(tmp_path / "run" / "a_seg.nii.gz")
    np.testing.assert_array_equal(mask, mean.argmax(0))
    np.testing.assert_array_equal(segment(image, tmp_path / "out", layers, **keys), mask)


@pytest.mark.slow
def test_onnx_runtime_gives_the_masks_of_torch(
    run_bundle: Build, folds: list[str], image: Path, tmp_path: Path
) -> None:
    file = tmp_path / "m.onnx"
    words = ["export", BUNDLE, "--weights", folds[0], "--to", "onnx", "--out", str(file)]
    cli.main([*words, *(word for key, value in TINY.items() for word in (f"--{key}", str(value)))])
    keys = {"dataset_dir": str(image), **TINY}
    run_bundle(BUNDLE, ["inference.yaml"], **keys, weights=folds[0], output_dir=str(tmp_path / "torch"))
    layers = ["inference.yaml", "onnx.yaml"]
    run_bundle(BUNDLE, layers, **keys, weights=str(file), output_dir=str(tmp_path / "onnx"))
    mask = voxels(tmp_path / "torch" / "a_seg.nii.gz")
    assert len(np.unique(mask)) > 1
    np.testing.assert_array_equal(voxels(tmp_path / "onnx" / "a_seg.nii.gz"), mask)
    np.testing.assert_array_equal(segment(image, tmp_path / "out", ["onnx.yaml"], weights=file), mask)
    with pytest.raises(RuntimeError) as caught:
        run_bundle(BUNDLE, layers, **{**keys, "roi_size": [32, 32, 32]}, weights=str(file))
    assert "this config needs (1, 1, 32, 32, 32)" in str(fault_in(caught.value))
    with pytest.raises(SystemExit, match="no weights at .*none.onnx"):
        run_bundle(BUNDLE, layers, **keys, weights=str(tmp_path / "none.onnx"))


def test_wrong_axes_and_members_end_before_a_volume_is_read(
    folds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for layer, keys, message in (
        ("tta.yaml", {"weights": folds[0], "flip_axes": [4]}, "flip_axes is .4.; allowed"),
        (
            "ensemble.yaml",
            {"ensemble_weights": [folds[0]]},
            "allowed: a list of two or more different weights files",
        ),
        ("ensemble.yaml", {"ensemble_weights": [folds[0], "none.pt"]}, "weights file none.pt does not exist"),
        ("ensemble.yaml", {"weights": folds[0], "ensemble_weights": folds}, "give --ensemble_weights only"),
    ):
        with pytest.raises(SystemExit):
            segment(tmp_path / "missing.nii.gz", tmp_path / "out", [layer], **keys)
        error = capsys.readouterr().err
        assert re.search(message, error), error
        assert error.count("\n") == 1


def test_a_fault_inside_of_a_run_reaches_monai_as_a_fault(
    run_bundle: Build, folds: list[str], image: Path
) -> None:
    keys = {"dataset_dir": str(image), "weights": folds[0], "flip_axes": [], **TINY}
    with pytest.raises((Fault, RuntimeError)) as caught:
        run_bundle(BUNDLE, ["inference.yaml", "tta.yaml"], **keys)
    assert "flip_axes is empty" in str(fault_in(caught.value))


@bundles
def test_flips_are_those_of_training(bundle: str) -> None:
    flipped = [axis for axis, share in enumerate(parse(bundle).get_parsed_content("flip_prob")) if share]
    assert parse(bundle, "tta.yaml", first="inference.yaml").get_parsed_content("flip_axes") == flipped


@bundles
@pytest.mark.parametrize("layer", ["onnx.yaml", "tta.yaml", "ensemble.yaml"])
def test_inference_builds_with_a_layer_without_weights(bundle: str, layer: str, build_bundle: Build) -> None:
    made = build_bundle(bundle, ["inference.yaml", layer])
    made.initialize()
    assert made.check_properties() == []


def test_tensorrt_names_its_missing_package_or_file(run_bundle: Build, image: Path, tmp_path: Path) -> None:
    (tmp_path / "m.ts").write_bytes(b"")
    with pytest.raises(
        SystemExit, match="^error: tensorrt.yaml needs torch_tensorrt: pip install torch-tensorrt$"
    ):
        run_bundle(
            BUNDLE, ["inference.yaml", "tensorrt.yaml"], dataset_dir=str(image), weights=str(tmp_path / "m.ts")
        )
