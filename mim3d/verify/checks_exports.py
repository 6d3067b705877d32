"""Checks of a packed bundle's network as TorchScript and ONNX.

Each export is compared with the eager network on one random input of the metadata's shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.bundle.scripts import ckpt_export, onnx_export
from monai.data.torchscript_utils import load_net_with_metadata

from mim3d.verify.checks_network import eager, with_weights
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check, one_line

#: Largest difference allowed, as a share of the largest value.
TOLERANCE = {"TorchScript": 1e-5, "ONNX": 1e-4}


def compare(packed: Packed, kind: str, answer: torch.Tensor) -> str:
    """Check an exported network's output against the eager network's; return the difference in words."""
    expected = eager(packed)[1]
    want(answer.shape == expected.shape, tuple(answer.shape), f"shape {tuple(expected.shape)}")
    share = ((answer - expected).abs().max() / expected.abs().max()).item()
    want(share <= TOLERANCE[kind], f"{share:.1e} of the largest value", f"at most {TOLERANCE[kind]:.0e}")
    return f"difference {share:.1e} of the largest value (allowed {TOLERANCE[kind]:.0e})"


def export(packed: Packed, exporter: Any, file: Path, use_trace: bool, **options: Any) -> None:
    """Call one of MONAI's exporters on the packed inference config."""
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
    """The network exports to TorchScript: scripted, for any input size, or traced if scripting fails."""
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
    """The network exports to ONNX."""
    import onnxruntime

    file = packed.scratch / "model.onnx"
    export(packed, onnx_export, file, use_trace=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: eager(packed)[0].numpy()})
    file.unlink()
    return compare(packed, "ONNX", torch.from_numpy(answer))
