"""A network that ONNX Runtime computes, in the place of a torch network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from custom_components.faults import Fault

#: Execution providers in the order in which they are tried; only those that are installed count.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxNetwork(nn.Module):
    """An ONNX file with one input and one output, called like the torch network that it was exported from.

    The file is opened at the first use, so that a config can be built without it. The module has no parameters.

    Args:
        file: the ONNX file. Its input is ``(B, C, D, H, W)`` in float32; B is 1 or any number.
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        super().__init__()
        self.file = Path(file)

    @cached_property
    def session(self) -> Any:
        """The open file.

        Raises:
            Fault: if the file is missing or no ONNX file, or if ONNX Runtime is not installed.
        """
        if not self.file.is_file():
            raise Fault(f"ONNX file {self.file} does not exist; mim3d export --to onnx writes one")
        try:
            onnxruntime = import_module("onnxruntime")  # an optional extra
        except ImportError:
            raise Fault("ONNX Runtime is not installed: pip install onnxruntime") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
        try:
            return onnxruntime.InferenceSession(str(self.file), options, providers=providers)
        except Exception as error:  # its classes are not public
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Fault(f"{self.file} is not readable as ONNX: {reason}") from None

    @property
    def input_shape(self) -> list[Any]:
        """Shape of the input; an axis that may have any size is a name."""
        return list(self.session.get_inputs()[0].shape)

    def check(self, channels: Sequence[str], output_names: Sequence[str], roi_size: Sequence[int]) -> None:
        """Check that the file takes these windows and returns these channels.

        Args:
            channels: names of the image's channels.
            output_names: names of the output channels.
            roi_size: voxels along each axis of a window.

        Raises:
            Fault: naming both shapes, and as `session`.
        """
        wanted = [[1, len(channels), *roi_size], [1, len(output_names), *roi_size]]
        found = [list(given[0].shape) for given in (self.session.get_inputs(), self.session.get_outputs())]
        for name, shape, needed in zip(("takes", "returns"), found, wanted, strict=True):
            fits = len(shape) == 5 and all(
                not isinstance(side, int) or side == other for side, other in zip(shape, needed, strict=True)
            )
            if not fits:
                raise Fault(
                    f"{self.file} {name} {tuple(shape)} (batch, channels, voxels); this config needs "
                    f"{tuple(needed)}. Give the layers and keys of its export"
                )

    def forward(self, image: Tensor) -> Tensor:
        """Map an image ``(B, C, D, H, W)`` to the network's output, float32 on the image's device."""
        alone = isinstance(self.input_shape[0], int)  # the file takes one window at a time
        parts = [self._run(part) for part in (image.split(1) if alone else [image])]
        return torch.cat(parts)

    def _run(self, image: Tensor) -> Tensor:
        given = image.detach().float().cpu().contiguous().numpy()
        (answer,) = self.session.run(None, {self.session.get_inputs()[0].name: given})
        return torch.from_numpy(answer).to(image.device)
