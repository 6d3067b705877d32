"""Mixed precision on GPUs and CPUs alike: bfloat16 where the device computes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.inferers.inferer import Inferer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from custom_components.faults import Fault

AUTO = "auto"


def mixed_precision(amp: bool | str, device: torch.device | str) -> bool:
    """Return whether to compute in bfloat16.

    Args:
        amp: True, False, or ``auto``: on CUDA, and on CPUs with instructions for bfloat16.
        device: where the network is.

    Raises:
        Fault: for another value of ``amp``.
    """
    if isinstance(amp, bool):
        return amp
    if amp != AUTO:
        raise Fault(f"amp is {amp!r}; allowed: {AUTO}, True, False")
    if torch.device(device).type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.device(device).type == "cuda"


@contextmanager
def autocast(
    device: torch.device | str, enabled: bool = True, dtype: torch.dtype = torch.bfloat16
) -> Iterator[None]:
    """Compute in ``dtype`` where torch thinks it exact enough, and on CPUs only where it is right."""
    kind = torch.device(device).type
    with torch.autocast(kind, dtype=dtype, enabled=enabled):
        if enabled and kind == "cpu":
            with _ThinGridsInFloat32():
                yield
        else:
            yield


class _ThinGridsInFloat32(TorchFunctionMode):
    """Computes 3D convolutions over grids with fewer than three cells along the first axis in float32.

    torch 2.13 on CPUs reads uninitialised memory for the weight gradient of a bfloat16 convolution over two cells
    along that axis, which gives NaN. Only the bottom of a network on small crops has such grids, so this is cheap.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is nn.functional.conv3d and args[0].shape[2] < 3:
            inputs: list[Any] = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
            with torch.autocast("cpu", enabled=False):
                return func(*inputs, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class AutocastInferer(Inferer):
    """Runs another inferer in mixed precision, and returns float32, in which losses and metrics are computed.

    MONAI's trainer and evaluator have mixed precision on CUDA alone, with the loss in it.

    Args:
        inferer: the one that runs the network.
        device: where the network is.
        enabled: whether to use mixed precision.
    """

    def __init__(self, inferer: Inferer, device: torch.device | str, enabled: bool) -> None:
        super().__init__()
        self.inferer, self.device, self.enabled = inferer, device, enabled

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the inferer returns for ``inputs``, as float32."""
        with autocast(self.device, self.enabled):
            output = self.inferer(inputs, network, *args, **kwargs)
        return output.float() if isinstance(output, Tensor) else output
