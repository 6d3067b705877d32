"""What the benchmarks of a step share: the step, timed by part, and rounds in which variants take turns."""

from __future__ import annotations

import argparse
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import Any, Protocol

import numpy as np
import torch
from measuring import PeakMemory, Stopwatch, commit, machine
from step_report import describe_variants, time_ratios
from torch import Tensor, nn

from custom_components.atomic import write_json


class Variant(Protocol):
    """What every variant of a step states."""

    @property
    def bf16(self) -> bool:
        """Whether the forward pass runs in bfloat16 autocast."""


class StepBench(ABC):
    """Pretext networks, losses and optimizers by variant; the batch; the step.

    A subclass builds the networks, losses and optimizers, and states the inputs and the ratios.

    Attributes:
        name: name of the benchmark, with which its result files begin.
        variants: all variants; ``args.variants`` names those to measure.
        pairs: ratios of step times to state: text -> variants of numerator and denominator.
        inside: parts that are timed within the forward pass.
        rest: name of the remaining time of the forward pass and the loss.
    """

    name: str
    variants: Mapping[str, Variant]
    pairs: Mapping[str, tuple[str, str]]
    inside: tuple[str, ...]
    rest: str

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        self.clock = Stopwatch(self.device)
        self.parts = (*self.inside, self.rest, "backward", "optimizer")
        self.pretexts: dict[str, nn.Module] = {}
        self.losses: dict[str, Callable[[Any, Tensor], Mapping[str, Tensor]]] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.failed: dict[str, str] = {}

    @abstractmethod
    def inputs(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return image, mask, map of valid voxels and volume ids, on the device."""

    @abstractmethod
    def text(self, name: str) -> str:
        """Return one line that describes a variant."""

    def summary(self, runs: dict[str, list[dict[str, float]]], peak: dict[str, float]) -> dict[str, Any]:
        """Return medians and ratios of the rounds so far."""
        texts = {name: self.text(name) for name in runs}
        return {
            "variants": describe_variants(runs, texts, peak, self.parts, self.args.batch),
            "step_time_ratios": time_ratios(runs, self.pairs),
        }

    def share_optimizer(self, names: Sequence[str]) -> None:
        """Give variants that share a network one AdamW, so that weights and moments exist once."""
        # Each parameter once: the pretext networks share the network. AdamW skips parameters without a gradient,
        # here the heads of the other variants.
        every = dict.fromkeys(p for name in names for p in self.pretexts[name].parameters())
        parameters = [p for p in every if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-3, fused=True)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # so that the moments exist before memory is measured
        optimizer.zero_grad(set_to_none=True)
        self.optimizers |= dict.fromkeys(names, optimizer)

    def watched_step(self, name: str, turn: int) -> tuple[dict[str, float], float]:
        """Take one step; return the result of `step`, and its peak memory in MiB."""
        with PeakMemory(self.device) as memory:
            run = self.step(name, turn)
        return run, memory.mib

    def step(self, name: str, turn: int) -> dict[str, float]:
        """Take one step; return seconds by part, in total and of processor time, and the loss."""
        torch.manual_seed(turn)  # the same draws for all variants of a round
        image, mask, valid, ids = self.inputs(name)
        clock, optimizer, half = self.clock, self.optimizers[name], self.variants[name].bf16
        processor = time.process_time()
        start = clock.mark()
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            outputs = self.pretexts[name](image, mask, valid)
        loss = self.losses[name](outputs, ids)["loss"]
        clock.add("forward", start)
        clock.wrap("backward", loss.backward)()
        clock.wrap("optimizer", optimizer.step)()
        clock.add("step", start)
        seconds = clock.read()
        processor = time.process_time() - processor
        optimizer.zero_grad(set_to_none=True)
        seconds[self.rest] = seconds.pop("forward") - sum(seconds.get(part, 0.0) for part in self.inside)
        return {**seconds, "processor": processor, "loss": loss.item()}


def noise(batch: int, size: Sequence[int]) -> Tensor:
    """Return crops ``(batch, 1, *size)`` of noise, the same in every run."""
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0))


def stack_masks(masks: Sequence[np.ndarray]) -> Tensor:
    """Stack the masks of samples ``(gd, gh, gw)`` to that of a batch, ``(B, 1, gd, gh, gw)``."""
    return torch.from_numpy(np.stack(masks))[:, None]


def describe(bench: StepBench, arguments: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """Return the facts that a result file states beside its numbers; no paths."""
    kept = {key: getattr(bench.args, key) for key in ("network", "size", "batch", "repeats")}
    return {
        "benchmark": bench.name,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(bench.device),
        "arguments": kept | {"device": bench.device.type} | arguments,
        "parameters": sum(p.numel() for p in network.parameters()),
        "not_measured": [name for name in bench.variants if name not in bench.args.variants],
        "failed": {},
    }


def warm_up(bench: StepBench) -> dict[str, float]:
    """Take uncounted steps of each variant; return peak memory, or drop and report those that cannot run."""
    peak: dict[str, float] = {}
    for name in bench.args.variants:
        try:
            if not peak:  # the first step of a process also creates threads and kernels
                bench.step(name, 0)
            peak[name] = bench.watched_step(name, 0)[1]
            report(f"warm-up {name}: done")
        except Exception as error:  # e.g. a missing compiler, memory, an operator without bf16
            bench.failed[name] = (str(error).splitlines() or [type(error).__name__])[0][:200]
            bench.clock.marks.clear()
            bench.optimizers[name].zero_grad(set_to_none=True)
            report(f"warm-up {name}: FAILED, left out: {bench.failed[name]}")
    return peak


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(bench: StepBench, result: dict[str, Any]) -> dict[str, Any]:
    """Run all rounds, writing the result after each; return ``result`` with medians and ratios.

    Raises:
        SystemExit: if no variant can run.
    """
    args, cuda, peak = bench.args, bench.device.type == "cuda", warm_up(bench)
    if not (names := list(peak)):
        raise SystemExit(f"no variant can run; the first failed with: {next(iter(bench.failed.values()))}")
    if cuda:  # cuDNN's first search for algorithms takes more memory than a step
        peak = dict.fromkeys(names, 0.0)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(1, args.repeats + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if cuda:
                run, mib = bench.watched_step(name, turn)
                peak[name] = max(peak[name], mib)
            else:  # trimming the heap and sampling would cost time
                run = bench.step(name, turn)
            runs[name].append(run)
            report(f"round {turn}/{args.repeats} {name}: {run['step']:.2f} s, loss {run['loss']:.3f}")
        result |= {"failed": bench.failed, "rounds": turn, **bench.summary(runs, peak)}
        write_json(args.out, result)
    return result
