"""Checks of a packed bundle's network: weights, ``monai.bundle.load``, shapes, and a real inference."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle.scripts import download_large_files, load, verify_net_in_out

from mim3d.package.weights import reads_pretext
from mim3d.verify.checks_workflows import workflow
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check
from mim3d.verify.sample_case import load_nifti, small_case


def with_weights(packed: Packed) -> Path:
    """Return a copy of the bundle with weights: its own, those that large_files.yml lists, or random ones.

    If inference reads models/pretext.pt, the network with its heads, the copy has that file too.
    """
    copy = packed.scratch / "with_weights" / packed.name
    models = copy / "models"
    if not (models / "model.pt").is_file():
        shutil.copytree(packed.root, copy, dirs_exist_ok=True)
        models.mkdir(exist_ok=True)
        if "large_files.yml" in packed.files:
            download_large_files(str(copy))
        made = {"model.pt": "network_def"}
        made |= {"pretext.pt": "pretext"} if reads_pretext(packed.config("inference")) else {}
        for name in (name for name in made if not (models / name).is_file()):
            torch.manual_seed(0)
            torch.save(packed.parsed(made[name], "inference").state_dict(), models / name)
    return copy


def state(packed: Packed) -> dict[str, torch.Tensor]:
    """Return the weights of `with_weights`."""
    return torch.load(with_weights(packed) / "models" / "model.pt", weights_only=True)


def eager(packed: Packed) -> tuple[torch.Tensor, Any]:
    """Return a random input of the metadata's shape and the network's output; computed once."""
    file = packed.scratch / "eager.pt"
    if not file.is_file():
        network = packed.parsed("network_def", "inference").eval()
        network.load_state_dict(state(packed), strict=True)
        image = packed.metadata["network_data_format"]["inputs"]["image"]
        given = torch.rand(
            1, image["num_channels"], *image["spatial_shape"], generator=torch.Generator().manual_seed(0)
        )
        with torch.no_grad():
            torch.save((given, network(given)), file)
    return torch.load(file, weights_only=True)


@check("model.pt is a flat state dict", "network")
def flat_state_dict(packed: Packed) -> str:
    """model.pt holds tensors only, and loads strictly into every network that reads or writes it."""
    tensors = state(packed)
    want(all(isinstance(value, torch.Tensor) for value in tensors.values()), "other values", "tensors only")
    for name in ("train", "inference"):
        packed.parsed("network_def", name).load_state_dict(tensors, strict=True)
    if not packed.segments:
        packed.parsed("ema", "train").module.network.load_state_dict(tensors, strict=True)
    return f"{sum(value.numel() for value in tensors.values()) / 1e6:.1f} M values"


@check("monai.bundle.load", "network")
def bundle_load(packed: Packed) -> str:
    """``monai.bundle.load`` gives the network with its weights, from train.json and from inference.json."""
    copy, tensors = with_weights(packed), state(packed)
    for kind in ("train", "inference"):
        options: dict[str, Any] = {"workflow_type": kind, "device": "cpu", "source": "monaihosting"}
        network: Any = load(packed.name, bundle_dir=copy.parent, **options)
        want(isinstance(network, torch.nn.Module), type(network).__name__, f"a network from {kind}.json")
        loaded = network.state_dict()
        same = loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], tensors[key]) for key in tensors)
        want(same, f"{kind}.json: other tensors", "the weights of models/model.pt")
    return "train.json, inference.json"


@check("one tensor out", "network")
def one_tensor_out(packed: Packed) -> str:
    """The network returns one finite tensor on the input's grid."""
    given, answer = eager(packed)
    want(isinstance(answer, torch.Tensor), type(answer).__name__, "one tensor")
    want(answer.shape[2:] == given.shape[2:], tuple(answer.shape), "the input's grid")
    want(bool(torch.isfinite(answer).all()), "values that are not finite", "finite ones")
    return f"{tuple(given.shape)} -> {tuple(answer.shape)}"


@check("verify_net_in_out", "network")
def net_in_out(packed: Packed) -> str:
    """MONAI's ``verify_net_in_out`` passes: the network takes and returns what the metadata says."""
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(packed.root / "configs" / "metadata.json"),
        config_file=packed.config_files("inference")[0],
        device="cpu",
        bundle_root=str(packed.root),
    )
    return "network_def of inference.json"


def written_mask(case: str, folder: Path) -> list[Path]:
    """Check the output of a segmentation bundle, a mask on the input's grid; return its files."""
    written = sorted(folder.glob("**/*.nii.gz"))
    want(written, "nothing", "NIfTI files")
    given, mask = load_nifti(case), load_nifti(written[0])
    want(mask.shape == given.shape[:3], mask.shape, f"the input's {given.shape[:3]}")
    want(np.allclose(mask.affine, given.affine, atol=1e-3), "another affine", "the input's")
    want(mask.get_data_dtype() == np.uint8, mask.get_data_dtype(), "uint8")
    return written


def written_images(folder: Path) -> list[Path]:
    """Check the output of a bundle that reconstructs: images on one grid, one of them the reconstruction."""
    written = sorted(folder.glob("**/*.nii.gz"))
    names = ", ".join(path.name for path in written) or "no NIfTI file"
    found = [path for path in written if path.name.endswith("_reconstruction.nii.gz")]
    want(len(found) == 1, names, "one reconstruction")
    images = [load_nifti(path) for path in written]
    same = all(i.shape == images[0].shape and np.allclose(i.affine, images[0].affine) for i in images)
    want(same, f"{names} on several grids", "one grid, so that they overlay one another")
    want(np.isfinite(load_nifti(found[0]).get_fdata()).all(), "values that are not finite", "finite ones")
    return written


def written_features(case: str, folder: Path) -> list[Path]:
    """Check the output of a bundle that computes features: a table with one row, the input's file and features."""
    file = folder / "features.csv"
    with file.open(encoding="utf-8", newline="") as content:
        rows = list(csv.reader(content))
    want([row[:1] for row in rows] == [[case]], f"rows of {[row[:1] for row in rows]}", f"one of {case}")
    features = [float(value) for value in rows[0][1:]]
    finite = features and all(math.isfinite(value) for value in features)
    want(finite, f"{len(features)} features", "numbers, all of them finite")
    return [file]


@check("inference runs", "network")
def inference_runs(packed: Packed) -> str:
    """The shipped inference config runs on one NIfTI file, with the weights that it names."""
    case, out = small_case(packed)["image"], packed.scratch / "inference"
    override = {"bundle_root": str(with_weights(packed)), "dataset_dir": case, "output_dir": str(out)}
    made = workflow(packed, "inference", "inference", **override, device="cpu", amp=False)
    made.initialize()
    made.run()
    if packed.segments:
        written = written_mask(case, out)
    else:
        written = written_features(case, out) if (out / "features.csv").is_file() else written_images(out)
    return ", ".join(path.name for path in written)
