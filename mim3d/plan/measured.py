"""Measured training steps: what benchmarks/results says about time and memory of one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_components.atomic import read_json
from mim3d.catalog import ROOT

RESULTS = ROOT / "benchmarks" / "results"
#: Method -> the benchmark's files and the variant that is nearest to a step of its shipped recipe.
_VARIANTS = {
    "hybridmim": ("pretrain_step_*.json", "full"),
    "mae": ("mim_step_*.json", "mae-0.75"),
    "simmim": ("mim_step_*.json", "simmim-0.75"),
}
#: What is used for all that has no file: one step that runs a whole network forward and backward.
FALLBACK = ("hybridmim", "basic_unet")


@dataclass(frozen=True)
class Step:
    """One measured step.

    Attributes:
        file: name of the result file.
        variant: name of the variant in it.
        device: ``cpu`` or ``cuda``.
        machine: the processor, and its threads.
        network: key of ``NETWORKS``.
        arguments: constructor arguments of the network that differ from those of the shipped config.
        size: voxels of a crop.
        crops: crops of the step.
        seconds: of the step.
        peak_bytes: memory of the step beside weights and the optimiser's moments.
        same: whether the step is of the method and network that were asked for.
    """

    file: str
    variant: str
    device: str
    machine: str
    network: str
    arguments: dict[str, Any]
    size: tuple[int, int, int]
    crops: int
    seconds: float
    peak_bytes: float
    same: bool

    @property
    def source(self) -> str:
        """Where the numbers are, for a document."""
        return f"benchmarks/results/{self.file}, {self.variant}"


def measured_step(method: str | None, network: str, device: str, results: Path = RESULTS) -> Step | None:
    """Return the measured step that is nearest to one of a method and network.

    Args:
        method: key of ``METHODS``; None: a segmentation.
        network: key of ``NETWORKS``.
        device: ``cpu`` or ``cuda``; only files of this device count.
        results: folder of the result files.

    Returns:
        The step with most crops of this method and network; else that of ``FALLBACK``; None if there is no file.
    """
    for wanted in ((method, network), FALLBACK):
        steps = [step for step in _steps(*wanted, results, (method, network)) if step.device == device]
        if steps:
            return max(steps, key=lambda step: step.crops)
    return None


def _steps(method: str | None, network: str, results: Path, asked: tuple[str | None, str]) -> Iterator[Step]:
    if method not in _VARIANTS:
        return
    pattern, variant = _VARIANTS[method]
    for path in sorted(results.glob(pattern)):
        content = read_json(path)
        given, found = content["arguments"], content["variants"].get(variant)
        if given["network"] != network or found is None or "peak_mib" not in found:
            continue
        machine = content["machine"]
        yield Step(
            path.name,
            variant,
            str(given["device"]).partition(":")[0],
            f"{machine.get('gpu') or machine.get('cpu')}, {machine.get('threads')} threads",
            network,
            _network_arguments(network, given),
            tuple(given["size"]),
            given["batch"],
            found["seconds"]["step"],
            found["peak_mib"] * 2.0**20,
            (method, network) == asked,
        )


def _network_arguments(network: str, given: dict[str, Any]) -> dict[str, Any]:
    if network == "basic_unet":
        return {"features": given["features"]}
    if network == "swin_unetr":
        return {"feature_size": given["features"][0]}
    return {"hidden_size": given["hidden"], "mlp_dim": given["mlp"], "num_heads": given["heads"]}
