"""Timing of single training steps on this machine, for an estimate before anything has run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from mim3d.study.configs import RunConfig, loaded
from mim3d.study.runs import Run

#: Seconds of a run beside its steps: start of Python and MONAI, reading of volumes, validations, saving. They
#: depend on the data; on small volumes they were about this.
OVERHEAD = 15.0
STEPS = 2  # timed, after one that is not
#: Keys that do not change the time of a step.
_FREE = ("seed", "epochs", "val_interval", "learning_rate", "weight_decay")


def estimate(runs: Sequence[Run], device: str) -> float:
    """Return the seconds that runs take one after the other, from timed steps on random volumes.

    Args:
        runs: tests count with their overhead only.
        device: ``cpu`` or ``cuda:N``.
    """
    known: dict[str, float] = {}
    total = 0.0
    for run in runs:
        total += OVERHEAD
        if run.kind in ("pretraining", "training"):
            config = RunConfig(run.config.bundle, run.config.files, _timed_keys(run.config))
            if config.content not in known:
                known[config.content] = seconds_per_step(config, run.kind, device)
            total += run.steps * known[config.content]
    return total


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


def _timed_keys(config: RunConfig) -> dict[str, Any]:
    return {key: value for key, value in config.keys.items() if key not in _FREE}


def _segmentation_step(parser: ConfigParser, device: str) -> Callable[[], None]:
    """Return a step without the loss function, which takes little time and needs labels."""
    network = parser.get_parsed_content("network_def").to(device).train()
    crops = parser.get_parsed_content("batch_size") * parser.get_parsed_content("num_samples")
    image = torch.rand(crops, len(parser["channels"]), *parser.get_parsed_content("roi_size"), device=device)

    def step() -> None:
        with _autocast(device):
            output = network(image)
        output.float().square().mean().backward()

    return step


def _pretraining_step(parser: ConfigParser, device: str) -> Callable[[], None]:
    """Return a step with the config's own crops, masks, pretext network and loss."""
    pretext = parser.get_parsed_content("pretext").to(device).train()
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
        with _autocast(device):
            outputs = pretext(*inputs)
        loss(outputs, volume_id)["loss"].backward()

    return step


def _autocast(device: str) -> torch.autocast:
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=device != "cpu")


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
