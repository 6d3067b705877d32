"""Checks of a packed bundle's network as TorchScript and ONNX.

Each export is compared with the eager network on one random input of the metadata's shape.
"""

from __future__ import annotations

from pathlib import Path

import torch
from monai.data.torchscript_utils import load_net_with_metadata

from mim3d.export.formats import Source, read, write
from mim3d.export.tolerances import TOLERANCE
from mim3d.verify.checks_network import eager, with_weights
from mim3d.verify.packed import Packed, want
from mim3d.verify.registry import check


def compare(packed: Packed, kind: str, answer: torch.Tensor) -> str:
    """Check an exported network's output against the eager network's; return the difference in words."""
    expected = eager(packed)[1]
    want(answer.shape == expected.shape, tuple(answer.shape), f"shape {tuple(expected.shape)}")
    share = ((answer - expected).abs().max() / expected.abs().max()).item()
    want(share <= TOLERANCE[kind], f"{share:.1e} of the largest value", f"at most {TOLERANCE[kind]:.0e}")
    return f"difference {share:.1e} of the largest value (allowed {TOLERANCE[kind]:.0e})"


def export(packed: Packed, kind: str, file: Path) -> str:
    """Export the network of the packed inference config; return how."""
    source = Source(
        Path(packed.config_files("inference")[0]),
        packed.root / "configs" / "metadata.json",
        with_weights(packed) / "models" / "model.pt",
        packed.root,
    )
    return write(kind, source, file, eager(packed)[0].shape)


@check("ckpt_export (TorchScript)", "exports")
def torchscript(packed: Packed) -> str:
    """The network exports to TorchScript: scripted, for any input size, or traced if scripting fails."""
    file = packed.scratch / "model.ts"
    how = export(packed, "torchscript", file)
    network, metadata, extra = load_net_with_metadata(str(file), more_extra_files=("inference.json",))
    want("inference.json" in extra and metadata, "neither", "metadata and inference.json inside the file")
    with torch.no_grad():
        answer = network.eval()(eager(packed)[0])
    file.unlink()
    return f"{how}; {compare(packed, 'torchscript', answer)}"


@check("onnx_export (ONNX)", "exports")
def onnx(packed: Packed) -> str:
    """The network exports to ONNX."""
    file = packed.scratch / "model.onnx"
    export(packed, "onnx", file)
    answer = read("onnx", file)(eager(packed)[0])
    file.unlink()
    return compare(packed, "onnx", answer)
