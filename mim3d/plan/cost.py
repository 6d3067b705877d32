"""Memory and time of a training step, estimated from measured steps.

Formulas:

- Memory: 16 bytes per weight (weights, the optimiser's two moments, the moving average), and for each crop the
  measured bytes per layer output times the number of layer outputs. A segmentation adds 20 bytes per class and
  voxel, for softmax, target, loss and gradients.
- Time: measured seconds times the ratio of the floating-point operations of a forward pass.

Outputs and operations are counted on torch's ``meta`` device, without computing anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from custom_components.backbones import adapt
from mim3d.catalog import METHODS, Method
from mim3d.plan.bundle_keys import pretraining_network, segmentation_network
from mim3d.plan.measured import Step, measured_step

BYTES_PER_WEIGHT = 16
BYTES_PER_CLASS = 20
MEMORY_FORMULA = (
    f"{BYTES_PER_WEIGHT} bytes × weights + crops × layer outputs × measured bytes per layer output"
    f" (+ {BYTES_PER_CLASS} bytes × classes × voxels in segmentation), in float32"
)
TIME_FORMULA = "measured seconds × ratio of the floating-point operations"


@dataclass(frozen=True)
class Work:
    """What one forward pass of a network on one crop takes.

    Attributes:
        outputs: numbers that its layers return, together.
        operations: floating-point operations.
        weights: parameters of the network.
        stride: voxels per cell of the bottleneck.
        token: voxels of a token along an axis; 1 if the network has no tokens.
    """

    outputs: int
    operations: int
    weights: int
    stride: int
    token: int


@dataclass(frozen=True)
class Cost:
    """Memory and time of a step.

    Attributes:
        fixed: bytes whatever the number of crops.
        per_crop: bytes of each crop.
        seconds_per_crop: None if no step was measured on the device.
        step: the measured step that seconds come from; else the one that bytes come from.
        estimated: whether the step differs from the measured one in method or network.
    """

    fixed: float
    per_crop: float
    seconds_per_crop: float | None
    step: Step
    estimated: bool

    def memory(self, crops: int) -> float:
        """Return the bytes of a step of so many crops."""
        return self.fixed + crops * self.per_crop


def build(architecture: Mapping[str, Any], channels: int, outputs: int, roi_size: Sequence[int]) -> nn.Module:
    """Return the network of a config's ``architecture``, without memory for its weights."""
    names = {"channels": [""] * channels, "output_names": [""] * outputs, "activation_checkpointing": False}
    config = {"architecture": dict(architecture), "roi_size": list(roi_size), **names}
    network: nn.Module = ConfigParser(config).get_parsed_content("architecture")()
    return network.eval().to("meta")


def work(architecture: Mapping[str, Any], channels: int, outputs: int, roi_size: Sequence[int]) -> Work:
    """Count what a forward pass on one crop takes.

    Args:
        architecture: of a config.
        channels: of the image.
        outputs: channels of the network's output.
        roi_size: voxels of the crop.
    """
    return _work(json.dumps(architecture), channels, outputs, tuple(roi_size))


@cache
def _network(architecture: str, channels: int, outputs: int, roi_size: tuple[int, ...]) -> nn.Module:
    return build(json.loads(architecture), channels, outputs, roi_size)


@cache
def _work(architecture: str, channels: int, outputs: int, roi_size: tuple[int, ...]) -> Work:
    # Most networks do not depend on the crop, and building one takes longer than counting.
    size = roi_size if "@roi_size" in architecture else ()
    network = _network(architecture, channels, outputs, size)
    backbone = adapt(network)
    found = 0

    def count(module: nn.Module, given: Any, returned: Any) -> None:
        nonlocal found
        found += returned.numel() if isinstance(returned, Tensor) else 0

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, *roi_size, device="meta"))
    for hook in hooks:
        hook.remove()
    weights = sum(parameter.numel() for parameter in network.parameters())
    token = backbone.strides[0] if backbone.takes_tokens else 1
    return Work(found, counter.get_total_flops(), weights, backbone.stride, token)


def cost(
    method: Method | None,
    network: str,
    channels: int,
    outputs: int,
    roi_size: Sequence[int],
    small: bool,
    device: str,
) -> Cost:
    """Estimate what a training step takes.

    Args:
        method: the pretraining method; None: a segmentation.
        network: key of ``NETWORKS``.
        channels: of the image.
        outputs: channels of the network's output.
        roi_size: voxels of a crop.
        small: whether the network is the small one.
        device: ``cpu`` or ``cuda``.
    """
    keys = pretraining_network(method, network, small) if method else segmentation_network(network, small)
    own = work(keys["architecture"], channels, outputs, roi_size)
    name = method.name if method else None
    timed = measured_step(name, network, device)
    step = timed or measured_step(name, network, "cpu")
    if step is None:
        raise ValueError("benchmarks/results has no measured step, which memory is estimated from")
    reference = _reference(step)
    per_crop = step.peak_bytes / step.crops * own.outputs / reference.outputs
    if method is None:
        side, middle, last = roi_size
        per_crop += BYTES_PER_CLASS * outputs * side * middle * last
    seconds = timed.seconds / timed.crops * own.operations / reference.operations if timed else None
    return Cost(BYTES_PER_WEIGHT * own.weights, per_crop, seconds, step, small or not step.same or timed is None)


def _reference(step: Step) -> Work:
    """Return the work of a measured step's network on one crop of its size."""
    hybrid = METHODS["hybridmim"]
    method = hybrid if step.network in hybrid.layers else METHODS["mae"]
    architecture = pretraining_network(method, step.network, small=False)["architecture"]
    return work({**architecture, **step.arguments}, 1, 1, step.size)
