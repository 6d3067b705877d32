"""Checks of a packed bundle's network: weights, ``monai.bundle.load``, shapes, a real inference, and exports.

Exports are compared with the eager network on one random input of the metadata's shape. `TOLERANCE` is the largest
difference allowed, as a share of the largest value.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from bundle_checks import Packed, check, one_line, want
from checks_label import small_case
from checks_workflows import workflow
from monai.bundle import ckpt_export, load, onnx_export, verify_net_in_out
from monai.data import load_net_with_metadata

TOLERANCE = {"TorchScript": 1e-5, "ONNX": 1e-4}


def with_weights(packed: Packed) -> Path:
    """A copy of the bundle that has weights: its own, or random ones of its network."""
    copy = packed.scratch / "with_weights" / packed.name
    weights = copy / "models" / "model.pt"
    if not weights.is_file():
        shutil.copytree(packed.root, copy, dirs_exist_ok=True)
        weights.parent.mkdir(exist_ok=True)
        if not weights.is_file():
            torch.manual_seed(0)
            torch.save(packed.parsed("network_def", "inference").state_dict(), weights)
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
    """Tensors only, keys of network_def, for the train and the inference config."""
    tensors = state(packed)
    want(all(isinstance(value, torch.Tensor) for value in tensors.values()), "other values", "tensors only")
    for name in ("train", "inference"):
        packed.parsed("network_def", name).load_state_dict(tensors, strict=True)
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


@check("inference runs", "network")
def inference_runs(packed: Packed) -> str:
    """The shipped inference on one NIfTI: what a segmentation bundle writes lies on the input's grid."""
    case, out = small_case(packed), packed.scratch / "segmentations"
    weights = str(with_weights(packed) / "models" / "model.pt")
    override = {
        "dataset_dir": case["image"],
        "output_dir": str(out),
        "weights": weights,
        "device": "cpu",
        "amp": False,
    }
    made = workflow(packed, "inference", "inference", **override)
    made.initialize()
    made.run()
    written = sorted(out.glob("**/*.nii.gz"))
    want(written, "nothing", "NIfTI files")
    if packed.segments:
        given, mask = nib.load(case["image"]), nib.load(written[0])
        want(mask.shape == given.shape[:3], mask.shape, f"the input's {given.shape[:3]}")
        want(np.allclose(mask.affine, given.affine, atol=1e-3), "another affine", "the input's")
        want(mask.get_data_dtype() == np.uint8, mask.get_data_dtype(), "uint8")
    return ", ".join(path.name for path in written)


def compare(packed: Packed, kind: str, answer: torch.Tensor) -> str:
    """How far an exported network's answer is from the eager one's."""
    expected = eager(packed)[1]
    want(answer.shape == expected.shape, tuple(answer.shape), f"shape {tuple(expected.shape)}")
    share = ((answer - expected).abs().max() / expected.abs().max()).item()
    want(share <= TOLERANCE[kind], f"{share:.1e} of the largest value", f"at most {TOLERANCE[kind]:.0e}")
    return f"difference {share:.1e} of the largest value (allowed {TOLERANCE[kind]:.0e})"


def export(packed: Packed, exporter: Any, file: Path, use_trace: bool, **options: Any) -> None:
    """One of MONAI's exporters, on the packed inference config."""
    exporter(
        net_id="network_def",
        filepath=str(file),
        ckpt_file=str(with_weights(packed) / "models" / "model.pt"),
        meta_file=str(packed.root / "configs" / "metadata.json"),
        config_file=packed.config_files("inference")[0],
        key_in_ckpt="",
        use_trace=use_trace,
        bundle_root=str(packed.root),
        **options,
    )


@check("ckpt_export (TorchScript)", "exports")
def torchscript(packed: Packed) -> str:
    """Scripted, which takes any size of input; traced where a network cannot be scripted."""
    file, how = packed.scratch / "model.ts", "scripted"
    try:
        export(packed, ckpt_export, file, use_trace=False)
    except Exception as error:
        how = f"traced (scripting ends in {one_line(error)[:60]}...)"
        export(packed, ckpt_export, file, use_trace=True)
    network, metadata, extra = load_net_with_metadata(str(file), more_extra_files=("inference.json",))
    want("inference.json" in extra and metadata, "neither", "metadata and inference.json inside the file")
    with torch.no_grad():
        answer = network.eval()(eager(packed)[0])
    file.unlink()
    return f"{how}; {compare(packed, 'TorchScript', answer)}"


@check("onnx_export (ONNX)", "exports")
def onnx(packed: Packed) -> str:
    import onnxruntime

    file = packed.scratch / "model.onnx"
    export(packed, onnx_export, file, use_trace=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: eager(packed)[0].numpy()})
    file.unlink()
    return compare(packed, "ONNX", torch.from_numpy(answer))
