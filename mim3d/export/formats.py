"""The formats that MONAI exports to, each with how its file is written and read."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle.scripts import ckpt_export, onnx_export
from torch import nn

#: Format -> packages that writing and running it needs, beside torch.
PACKAGES = {"torchscript": (), "onnx": ("onnx", "onnxruntime")}
#: ONNX: the first axis, the number of windows, may have any size.
_AXES = {"image": {0: "batch"}, "pred": {0: "batch"}}


class Source(NamedTuple):
    """What is exported.

    Attributes:
        config: file of the whole inference config.
        metadata: file of the bundle's metadata.
        weights: flat state dict.
        bundle_root: the bundle's folder.
    """

    config: Path
    metadata: Path
    weights: Path
    bundle_root: Path


def check_packages(kind: str) -> None:
    """Check that a format's packages are installed.

    Raises:
        Fault: naming the missing ones and how to install them.
    """
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        from custom_components.faults import Fault  # not above: mim3d verify imports this before a package

        raise Fault(f"--to {kind} needs {' and '.join(missing)}: pip install {' '.join(missing)}")


def call_exporter(
    exporter: Callable[..., None], source: Source, file: Path, use_trace: bool, **options: Any
) -> None:
    """Call one of MONAI's exporters on ``network_def`` of an inference config."""
    exporter(
        net_id="network_def",
        filepath=str(file),
        ckpt_file=str(source.weights),
        meta_file=str(source.metadata),
        config_file=str(source.config),
        key_in_ckpt="",
        use_trace=use_trace,
        bundle_root=str(source.bundle_root),
        **options,
    )


def write_torchscript(source: Source, file: Path, shape: Sequence[int]) -> str:
    """Write TorchScript: scripted, or traced where scripting fails; return which of both.

    Args:
        source: what is exported.
        file: to write.
        shape: of the input for tracing ``(B, C, D, H, W)``.
    """
    try:
        call_exporter(ckpt_export, source, file, use_trace=False)
    except Exception:  # torch raises many classes for code that TorchScript lacks
        call_exporter(ckpt_export, source, file, use_trace=True, input_shape=list(shape))
        return "traced"
    return "scripted"


def write_onnx(source: Source, file: Path, shape: Sequence[int]) -> str:
    """Write ONNX with a free number of windows; return how.

    Args:
        source: what is exported.
        file: to write.
        shape: of the input for tracing ``(B, C, D, H, W)``.
    """
    # torch's newer exporter (dynamo) takes several times as long for the same file.
    names = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": _AXES, "dynamo": False}
    call_exporter(onnx_export, source, file, True, input_shape=list(shape), converter_kwargs=names)
    return "traced"


def write(kind: str, source: Source, file: Path, shape: Sequence[int]) -> str:
    """Export a network; return how: scripted or traced.

    Args:
        kind: torchscript or onnx.
        source: what is exported.
        file: to write.
        shape: of an input ``(B, C, D, H, W)``.
    """
    writer = {"torchscript": write_torchscript, "onnx": write_onnx}[kind]
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # MONAI logs every argument
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of each size that it takes for a constant
            return writer(source, file, shape)
    finally:
        logging.disable(before)


def read(kind: str, file: Path) -> nn.Module:
    """Open an exported file as a network on the CPU."""
    if kind == "onnx":
        # not above: mim3d verify imports this before a package
        from custom_components.inference import OnnxNetwork

        return OnnxNetwork(file)
    loaded: nn.Module = torch.jit.load(str(file), map_location="cpu")
    return loaded.eval()
