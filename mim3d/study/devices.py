"""Where runs go: one slot for each run that may go on at the same time."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A device and the CPU cores for one run.

    Attributes:
        device: ``cpu`` or ``cuda:N``.
        cores: numbers of the cores that the run is pinned to.
    """

    device: str
    cores: tuple[int, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that a run in this slot gets: its GPU alone, and as many threads as it has cores."""
        return {
            "CUDA_VISIBLE_DEVICES": "" if self.device == "cpu" else _gpu(int(self.device.partition(":")[2])),
            "OMP_NUM_THREADS": str(max(1, len(self.cores))),
            "PYTHONWARNINGS": "ignore",
        }


def _gpu(number: int) -> str:
    """Return how a child names this process's GPU ``cuda:number``: a batch system may show only some of them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[number].strip() if visible else str(number)


def make_slots(devices: Sequence[str], parallel: int) -> list[Slot]:
    """Return the slots: ``parallel`` for each device, which share out the cores of this process.

    Args:
        devices: ``cpu`` or ``cuda:N`` names; empty: every visible GPU, or the CPU.
        parallel: runs at a time on each device.

    Raises:
        ValueError: for a device that is unknown, absent or named twice, and for more runs than cores.
    """
    import torch  # here, because it is slow to import and a slot is not

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    for device in devices:
        if device != "cpu" and not re.fullmatch(r"cuda:\d+", device):
            raise ValueError(f"--devices has {device!r}; allowed: cpu, cuda:0, cuda:1, ...")
        if device != "cpu" and device not in gpus:
            raise ValueError(f"--devices has {device}; this machine has {', '.join(gpus) or 'no GPU'}")
        if list(devices).count(device) > 1:
            raise ValueError(f"--devices has {device} twice; --parallel gives each device several runs at a time")
    chosen = [device for device in devices or gpus or ["cpu"] for _ in range(parallel)]
    cores = available_cores()
    if len(chosen) > len(cores):
        raise ValueError(f"{len(chosen)} runs at a time need as many CPU cores; there are {len(cores)}")
    # Cores that cannot be shared out evenly stay free for this process and the data loaders.
    each = len(cores) // len(chosen)
    return [Slot(device, tuple(cores[k * each : (k + 1) * each])) for k, device in enumerate(chosen)]


def available_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
