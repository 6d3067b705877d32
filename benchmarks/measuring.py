"""What the benchmarks share: a clock for CPU and CUDA, peak memory, and facts about the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai
import psutil
import torch

from custom_components.transfer import git_commit

MIB = 2**20


class Stopwatch:
    """Measures the seconds of named parts.

    On CUDA the marks are events in the stream, which are read after the step. The host never waits inside a step,
    so measuring parts does not slow it down.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.marks: list[tuple[str, Any, Any]] = []

    def mark(self) -> Any:
        """Return a point in time."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def add(self, name: str, start: Any) -> None:
        """Record that part ``name`` took from ``start`` to now."""
        self.marks.append((name, start, self.mark()))

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` with each call recorded under ``name``."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.mark()
            result = function(*args, **kwargs)
            self.add(name, start)
            return result

        return timed

    def read(self) -> dict[str, float]:
        """Return seconds by part, and reset; waits for the device."""
        if self.cuda:
            torch.cuda.synchronize()
        seconds: dict[str, float] = {}
        for name, start, stop in self.marks:
            passed = start.elapsed_time(stop) / 1000 if self.cuda else stop - start
            seconds[name] = seconds.get(name, 0.0) + passed
        self.marks.clear()
        return seconds


class PeakMemory:
    """Peak memory in MiB above that at entry: allocated by torch on CUDA, resident (RSS, sampled) on a CPU.

    On a CPU with glibc, freed heap is returned to the system at entry; otherwise memory that an earlier step left
    would hide growth.
    """

    def __init__(self, device: torch.device, interval: float = 0.005) -> None:
        self.cuda, self.interval = device.type == "cuda", interval
        self.mib = 0.0

    def __enter__(self) -> PeakMemory:
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
            return self
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.process = psutil.Process()
        self.start = self.peak = self.process.memory_info().rss
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while not self.over.wait(self.interval):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        if self.cuda:
            torch.cuda.synchronize()
            self.peak = torch.cuda.max_memory_allocated()
        else:
            self.over.set()
            self.thread.join()
        self.mib = (self.peak - self.start) / MIB


def cpu_and_wall(function: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the processor and of the clock that a call takes."""
    processor, clock = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - processor, time.perf_counter() - clock


def highest_memory() -> float:
    """Return the highest resident memory of this process so far, in MiB; nothing is sampled."""
    import resource  # Linux and macOS only

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (MIB if platform.system() == "Darwin" else 1024)


def huge_pages() -> bool:
    """Return whether torch was started with ``THP_MEM_ALLOC_ENABLE=1``, which saves page faults on CPUs."""
    return os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"


def machine(device: torch.device) -> dict[str, Any]:
    """Return processor, cores, threads and versions, on which the numbers depend; no names of hosts or users."""
    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=False),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        # torch reads this at its first allocation, and then asks the kernel for huge pages (2 MiB) for large
        # tensors.
        "huge_pages": huge_pages(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
    }
    if device.type == "cuda":
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_convolution": torch.backends.cudnn.allow_tf32,
        }
    return facts


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def commit() -> str:
    """Return the commit measured, with ``+changes`` if the package or the scripts differ from it."""
    root = Path(__file__).resolve().parent.parent
    return git_commit(root, "custom_components", "benchmarks/*.py") or "unknown"
