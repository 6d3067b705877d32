"""``mim3d embed``: the table holds what the encoder computes, without padding."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from custom_components.backbones import adapt
from mim3d import cli
from mim3d.embed.dense import dense_features
from mim3d.embed.features import BOTTLENECK, pooled_features, window_places
from tests.bundles.pretraining import parse

BUNDLE, ROI = "seg_msd_hippocampus", (32, 32, 48)
KEYS = ["--roi_size", "[32,32,48]", "--architecture#features", "[4,4,8,8,16,4]", "--device", "cpu"]
MakeNetwork = Callable[..., nn.Module]


def network(outputs: int) -> nn.Module:
    """The bundle's network, made tiny."""
    parser = parse(BUNDLE, first="inference.yaml")
    parser["architecture"]["features"] = [4, 4, 8, 8, 16, 4]
    parser["architecture"]["out_channels"] = outputs
    torch.manual_seed(0)
    made: nn.Module = parser.get_parsed_content("architecture")()
    return made.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as pretraining writes them: the output layer has one channel."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(network(1).state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A volume of exactly one window, and a smaller one of the same subject in another session."""
    for seed, (name, shape) in enumerate({"sub-1/sub-1_ses-1": ROI, "sub-1/sub-1_ses-2": (32, 20, 48)}.items()):
        data = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "in" / f"{name}.nii.gz")
    return tmp_path / "in"


def embed(folder: Path, out: Path, weights: Path, *words: str) -> None:
    cli.main(["embed", BUNDLE, str(folder), "--out", str(out), "--weights", str(weights), *KEYS, *words])


def test_the_table_holds_what_the_encoder_computes(folder: Path, weights: Path, tmp_path: Path) -> None:
    embed(folder, tmp_path / "f.npz", weights)
    found = np.load(tmp_path / "f.npz")
    assert list(found["files"]) == ["sub-1/sub-1_ses-1", "sub-1/sub-1_ses-2"]
    assert list(found["subjects"]) == ["sub-1", "sub-1"]
    values = np.asanyarray(nib.load(folder / "sub-1" / "sub-1_ses-1.nii.gz").dataobj)
    image = torch.from_numpy((values - values.mean()) / values.std())[None, None].float()
    with torch.no_grad():
        encoded = adapt(network(1)).encode(image)
    stages = {**encoded.stages, BOTTLENECK: encoded.bottleneck}
    assert set(found) == {"files", "subjects", *stages}
    for name, output in stages.items():
        np.testing.assert_allclose(found[name][0], output[0].mean((1, 2, 3)), rtol=1e-3, atol=1e-5)
    embed(folder, tmp_path / "f.csv", weights)
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == list(found["files"])
    assert [row["subject"] for row in rows] == ["sub-1", "sub-1"]
    for row, vector in zip(rows, found[BOTTLENECK], strict=True):
        again = [float(row[f"{BOTTLENECK}_{number}"]) for number in range(len(vector))]
        np.testing.assert_array_equal(np.float32(again), vector)


def slow_mean(output: np.ndarray, valid: np.ndarray, stride: int) -> np.ndarray:
    """The mean of the cells (F, d, h, w) under which a voxel is valid, one after the other."""
    kept = []
    for cell in np.ndindex(output.shape[1:]):
        voxels = tuple(slice(at * stride, (at + 1) * stride) for at in cell)
        if valid[voxels].any():
            kept.append(output[(slice(None), *cell)])
    return np.mean(kept, 0)


@torch.no_grad()
def test_padding_is_left_out_and_windows_are_averaged(make_network: MakeNetwork, network_name: str) -> None:
    size = (64, 32, 32)
    backbone = adapt(make_network(network_name, size=size).eval())
    shape = (size[0], size[1] + 12, size[2])
    image = torch.randn(backbone.in_channels, *shape)
    valid = torch.zeros(1, *shape, dtype=torch.bool)
    valid[:, size[0] // 2 + 3 :] = True
    found = pooled_features(backbone, image, valid, size)
    places = window_places(shape, size, 0.0)
    assert [place[1] for place in places] == [slice(0, size[1]), slice(12, 12 + size[1])]
    expected: dict[str, Any] = {}
    for place in places:
        encoded = backbone.encode(image[(slice(None), *place)][None])
        outputs = {**encoded.stages, BOTTLENECK: encoded.bottleneck}
        for (name, output), stride in zip(outputs.items(), (*backbone.strides, backbone.stride), strict=True):
            cells = output[0].numpy()
            if cells.ndim == 2:  # tokens
                cells = cells.T.reshape(-1, *(side // stride for side in size))
            expected.setdefault(name, []).append(slow_mean(cells, valid[0][place].numpy(), stride))
    assert list(found) == [*backbone.stages, BOTTLENECK]
    for name, vectors in expected.items():
        np.testing.assert_allclose(found[name], np.mean(vectors, 0), rtol=1e-4, atol=1e-5)


def test_features_of_padding_do_not_count(folder: Path, weights: Path, tmp_path: Path) -> None:
    """The second volume is padded by 6 voxels on both sides: its first stage is the mean over its own voxels."""
    embed(folder, tmp_path / "f.npz", weights)
    values = np.asanyarray(nib.load(folder / "sub-1" / "sub-1_ses-2.nii.gz").dataobj)
    image = torch.zeros(1, 1, *ROI)
    image[0, 0, :, 6:26] = torch.from_numpy((values - values.mean()) / values.std())
    backbone = adapt(network(1))
    with torch.no_grad():
        first = backbone.encode(image).stages[backbone.stages[0]][0, :, :, 6:26]
    found = np.load(tmp_path / "f.npz")[backbone.stages[0]][1]
    np.testing.assert_allclose(found, first.mean((1, 2, 3)), rtol=1e-3, atol=1e-5)


def test_dense_features_are_the_bottleneck_and_lie_where_the_voxels_lie(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = np.random.default_rng(2).normal(100, 20, ROI).astype(np.float32)
    affine = np.array([[1, 0, 0, 7], [0, 1, 0, -5], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "a.nii.gz")
    embed(tmp_path / "a.nii.gz", tmp_path / "f.npz", weights, "--dense", str(tmp_path / "dense"))
    written = nib.load(tmp_path / "dense" / "a_features.nii.gz")
    backbone = adapt(network(1))
    image = torch.from_numpy((data - data.mean()) / data.std())[None, None].float()
    with torch.no_grad():
        expected = backbone.encode(image).bottleneck[0].movedim(0, -1)
    np.testing.assert_allclose(written.get_fdata(), expected, rtol=1e-3, atol=1e-5)
    first, second = affine @ [7.5, 7.5, 7.5, 1], affine @ [23.5, 7.5, 7.5, 1]  # centres of 16 voxels
    np.testing.assert_allclose(written.affine @ [0, 0, 0, 1], first)
    np.testing.assert_allclose(written.affine @ [1, 0, 0, 1], second)
    with pytest.raises(SystemExit):
        embed(tmp_path / "a.nii.gz", tmp_path / "g.npz", weights, "--dense", str(tmp_path / "dense"))
    assert "a_features.nii.gz exists; --overwrite replaces it" in capsys.readouterr().err


@torch.no_grad()
def test_dense_features_are_the_mean_of_overlapping_windows(make_network: MakeNetwork) -> None:
    backbone = adapt(make_network("BasicUNet").eval())
    image = torch.randn(1, 32, 60, 48)  # the second axis is padded to 64
    found = dense_features(backbone, image, (32, 32, 32), 0.5)
    padded = torch.zeros(1, 32, 64, 48)
    padded[:, :, :60] = image
    cells: dict[tuple[int, ...], list[np.ndarray]] = {}
    for y, z in ((0, 0), (0, 16), (16, 0), (16, 16), (32, 0), (32, 16)):
        window = padded[None, :, :, y : y + 32, z : z + 32]
        output = backbone.encode(window).bottleneck[0].numpy()
        for a, b, c in np.ndindex(output.shape[1:]):
            cells.setdefault((a, b + y // 16, c + z // 16), []).append(output[:, a, b, c])
    assert found.shape == (2, 4, 3, 16)
    assert len(cells) == 24
    for cell, vectors in cells.items():
        np.testing.assert_allclose(found[cell], np.mean(vectors, 0), rtol=1e-4, atol=1e-6)


def test_a_bad_volume_is_left_out_and_named(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.nii").write_bytes(b"no volume")
    with pytest.raises(SystemExit) as ended:
        embed(folder, tmp_path / "f.npz", weights)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: 1 of 3 volumes failed: bad\n"
    assert len(np.load(tmp_path / "f.npz")["files"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "f.txt"], "--out f.txt must end in .npz or .csv"),
        (["--weights", "none.pt"], "weights file none.pt does not exist"),
        (["--architecture#features", "[8,4,8,8,16,4]"], "lack .* tensors of the encoder of this BasicUNet"),
        (["--layer", "onnx.yaml"], "is an export; features need the weights of the network"),
        (["--sw_overlab", "0"], "unknown key --sw_overlab"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    words: list[str], message: str, folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        embed(folder, tmp_path / "out" / "f.npz", weights, *words)
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()
