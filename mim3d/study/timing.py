"""Timing of single training steps on this machine, for an estimate before anything has run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from custom_components.engine.precision import autocast, mixed_precision
from mim3d.study.configs import RunConfig, loaded
from mim3d.study.devices import Slot
from mim3d.study.plan import Plan
from mim3d.study.runs import Run

#: Seconds of a run beside its steps and volumes: building the config, checks, reading of small volumes, saving.
OVERHEAD = 5.0
#: A validated or tested volume counts as so many steps: forward passes over its windows.
VOLUME_STEPS = 3
STEPS = 2  # timed, after one that is not
#: Keys that do not change the time of a step.
_FREE = ("seed", "epochs", "val_interval", "learning_rate", "weight_decay")


def expected_seconds(plan: Plan, runs: Sequence[Run], slots: Sequence[Slot]) -> dict[str, float]:
    """Return the seconds that each run is expected to take, from timed steps on random volumes.

    Args:
        plan: the study's plan.
        runs: pretrainings, trainings and tests.
        slots: where they run; steps are timed on the first device, with as many threads as a run gets.

    Returns:
        Digest of the run -> seconds.
    """
    trainings = {run.digest: run for run in _trainings(plan)}
    known: dict[str, float] = {}

    def expected(run: Run) -> float:
        timed = trainings[run.needs[0]] if run.kind == "test" else run
        volumes = scored_volumes(plan, run) * VOLUME_STEPS
        steps = volumes if run.kind == "test" else run.steps + volumes
        return OVERHEAD + steps * _step(timed, slots[0].device, known)

    with _threads(len(slots[0].cores)):
        return {run.digest: expected(run) for run in runs}


def scored_volumes(plan: Plan, run: Run) -> int:
    """Return how many whole volumes a run segments to score them; pretraining scores one crop of each instead."""
    if run.kind == "training":
        return len(plan.data.sections["validation"]) * (run.epochs // run.config.value("val_interval"))
    return run.steps if run.kind == "test" else 0


def makespan(runs: Sequence[Run], seconds: Mapping[str, float], slots: int) -> float:
    """Return the time until the last of some runs ends.

    Args:
        runs: in the order in which they start. What a run waits for counts as done if it is not among them.
        seconds: of each run, by its digest.
        slots: runs at a time.
    """
    free, ends = [0.0] * max(1, slots), dict[str, float]()
    for run in runs:
        first = min(range(len(free)), key=free.__getitem__)
        begin = max([free[first], *(ends.get(need, 0.0) for need in run.needs)])
        free[first] = ends[run.digest] = begin + seconds[run.digest]
    return max(free)


def _trainings(plan: Plan) -> Iterator[Run]:
    return (plan.training(cell, keys) for cell in plan.cells for keys in plan.candidates(cell.arm))


def _step(run: Run, device: str, known: dict[str, float]) -> float:
    keys = {key: value for key, value in run.config.keys.items() if key not in _FREE}
    config = RunConfig(run.config.bundle, run.config.files, keys)
    if config.content not in known:
        known[config.content] = seconds_per_step(config, run.kind, device)
    return known[config.content]


def seconds_per_step(config: RunConfig, kind: str, device: str) -> float:
    """Return the seconds of a forward and backward pass with the config's batch, on random voxels.

    Args:
        config: of a pretraining or a segmentation training.
        kind: pretraining or training.
        device: ``cpu`` or ``cuda:N``.
    """
    parser = ConfigParser(loaded(config.files))
    parser.update(json.loads(json.dumps(config.keys, default=str)))
    step = _pretraining_step(parser, device) if kind == "pretraining" else _segmentation_step(parser, device)
    step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    _wait(device)
    return (time.perf_counter() - start) / STEPS


def _segmentation_step(parser: ConfigParser, device: str) -> Callable[[], None]:
    """Return a step without the loss function, which takes little time and needs labels."""
    network, half = parser.get_parsed_content("network_def").to(device).train(), _half(parser, device)
    crops = parser.get_parsed_content("batch_size") * parser.get_parsed_content("num_samples")
    image = torch.rand(crops, len(parser["channels"]), *parser.get_parsed_content("roi_size"), device=device)

    def step() -> None:
        with autocast(device, half):
            output = network(image)
        output.float().square().mean().backward()

    return step


def _pretraining_step(parser: ConfigParser, device: str) -> Callable[[], None]:
    """Return a step with the config's own crops, masks, pretext network and loss."""
    pretext, half = parser.get_parsed_content("pretext").to(device).train(), _half(parser, device)
    loss, prepare = parser.get_parsed_content("loss"), parser.get_parsed_content("prepare_batch")
    crops = Compose(parser.get_parsed_content("random_transforms"))
    sides = [2 * side for side in parser.get_parsed_content("roi_size")]  # room for the crops of every method
    channels, volumes = len(parser["channels"]), []
    for number in range(parser.get_parsed_content("batch_size")):
        image = MetaTensor(torch.rand(channels, *sides))
        valid = MetaTensor(torch.ones(1, *sides, dtype=torch.bool))
        volumes.append(crops({"image": image, "valid": valid, "volume_id": number}))
    *inputs, volume_id = prepare(parser.get_parsed_content("collate")(volumes), device)

    def step() -> None:
        with autocast(device, half):
            outputs = pretext(*inputs)
        loss(outputs, volume_id)["loss"].backward()

    return step


def _half(parser: ConfigParser, device: str) -> bool:
    """Return whether the config computes in bfloat16 on a device."""
    return mixed_precision(parser["amp"], device)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute with so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
