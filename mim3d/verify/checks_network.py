"""Checks of a packed bundle's network: weights, ``monai.bundle.load``, shapes, and a real inference."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import load, verify_net_in_out

from mim3d.package.layers import reads_pretext
from mim3d.verify.checks_label import small_case
from mim3d.verify.checks_workflows import workflow
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check


def with_weights(packed: Packed) -> Path:
    """A copy of the bundle that has weights: its own, or random ones of its networks.

    Beside models/model.pt lies models/pretext.pt, the network with its heads, where inference reads that one.
    """
    copy = packed.scratch / "with_weights" / packed.name
    models = copy / "models"
    if not (models / "model.pt").is_file():
        shutil.copytree(packed.root, copy, dirs_exist_ok=True)
        models.mkdir(exist_ok=True)
        made = {"model.pt": "network_def"}
        made |= {"pretext.pt": "pretext"} if reads_pretext(packed.config("inference")) else {}
        for name in (name for name in made if not (models / name).is_file()):
            torch.manual_seed(0)
            torch.save(packed.parsed(made[name], "inference").state_dict(), models / name)
    return copy


def state(packed: Packed) -> dict[str, torch.Tensor]:
    """The weights of `with_weights`."""
    return torch.load(with_weights(packed) / "models" / "model.pt", weights_only=True)


def eager(packed: Packed) -> tuple[torch.Tensor, Any]:
    """A random input of the metadata's shape and the network's answer; computed once."""
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
    """Tensors only, keys of network_def, for the train and the inference config, and of what pretraining saves."""
    tensors = state(packed)
    want(all(isinstance(value, torch.Tensor) for value in tensors.values()), "other values", "tensors only")
    for name in ("train", "inference"):
        packed.parsed("network_def", name).load_state_dict(tensors, strict=True)
    if not packed.segments:
        packed.parsed("average", "train").module.network.load_state_dict(tensors, strict=True)
    return f"{sum(value.numel() for value in tensors.values()) / 1e6:.1f} M values"


@check("monai.bundle.load", "network")
def bundle_load(packed: Packed) -> str:
    """The network with the weights given, from train.json and from inference.json."""
    copy, tensors = with_weights(packed), state(packed)
    for kind in ("train", "inference"):
        network = load(
            packed.name, bundle_dir=copy.parent, workflow_type=kind, device="cpu", source="monaihosting"
        )
        want(isinstance(network, torch.nn.Module), type(network).__name__, f"a network from {kind}.json")
        loaded = network.state_dict()
        same = loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], tensors[key]) for key in tensors)
        want(same, f"{kind}.json: other tensors", "the weights of models/model.pt")
    return "train.json, inference.json"


@check("one tensor out", "network")
def one_tensor_out(packed: Packed) -> str:
    given, answer = eager(packed)
    want(isinstance(answer, torch.Tensor), type(answer).__name__, "one tensor")
    want(answer.shape[2:] == given.shape[2:], tuple(answer.shape), "the input's grid")
    want(bool(torch.isfinite(answer).all()), "values that are not finite", "finite ones")
    return f"{tuple(given.shape)} -> {tuple(answer.shape)}"


@check("verify_net_in_out", "network")
def net_in_out(packed: Packed) -> str:
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(packed.root / "configs" / "metadata.json"),
        config_file=packed.config_files("inference")[0],
        device="cpu",
        bundle_root=str(packed.root),
    )
    return "network_def of inference.json"


def written_mask(case: str, folder: Path) -> list[Path]:
    """What a segmentation bundle wrote: a mask on the input's grid."""
    written = sorted(folder.glob("**/*.nii.gz"))
    want(written, "nothing", "NIfTI files")
    given, mask = nib.load(case), nib.load(written[0])
    want(mask.shape == given.shape[:3], mask.shape, f"the input's {given.shape[:3]}")
    want(np.allclose(mask.affine, given.affine, atol=1e-3), "another affine", "the input's")
    want(mask.get_data_dtype() == np.uint8, mask.get_data_dtype(), "uint8")
    return written


def written_images(folder: Path) -> list[Path]:
    """What a bundle wrote that hides and paints: images on one grid, the reconstruction among them."""
    written = sorted(folder.glob("**/*.nii.gz"))
    names = ", ".join(path.name for path in written) or "no NIfTI file"
    painted = [path for path in written if path.name.endswith("_reconstruction.nii.gz")]
    want(len(painted) == 1, names, "one reconstruction")
    images = [nib.load(path) for path in written]
    same = all(i.shape == images[0].shape and np.allclose(i.affine, images[0].affine) for i in images)
    want(same, f"{names} on several grids", "one grid, so that they overlay one another")
    want(np.isfinite(nib.load(painted[0]).get_fdata()).all(), "values that are not finite", "finite ones")
    return written


def written_features(case: str, folder: Path) -> list[Path]:
    """What a bundle wrote that describes volumes: a table with a row for the input, its file and its features."""
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
    """The shipped inference on one NIfTI, with the weights that the config itself names."""
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
