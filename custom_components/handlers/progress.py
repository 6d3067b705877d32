"""A progress bar over a whole run with the loss, and one line per epoch: speed, memory and time left."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import psutil
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Timer
from torch import Tensor
from tqdm import tqdm

from custom_components.distributed import world_size
from custom_components.machine import readable, readable_time

logger = logging.getLogger(__name__)


class ProgressLog:
    """A tqdm bar over all iterations of all epochs; each epoch logs where its time went.

    The line of an epoch says: seconds spent waiting for data, and in steps; volumes per second of all ranks while
    it trained (crops, if a batch has no ``volume_id``); peak memory so far, of the GPU or, on a CPU, of this
    process without its data-loader workers; the time left, from the mean of this run's epochs and validations.

    Args:
        description: text in front of the bar.
    """

    def __init__(self, description: str = "train") -> None:
        self.description = description
        self.bar: Any = None
        self.data_timer, self.step_timer = Timer(average=False), Timer(average=False)
        self._started, self._first_epoch = 0.0, 0
        self._volumes, self._unit = 0, "volumes"

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        start = Events.EPOCH_STARTED
        batch, step = (
            {"pause": Events.GET_BATCH_COMPLETED, "resume": Events.GET_BATCH_STARTED},
            {"pause": Events.ITERATION_COMPLETED, "resume": Events.ITERATION_STARTED},
        )
        self.data_timer.attach(engine, start=start, **batch)
        self.step_timer.attach(engine, start=start, **step)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(start, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log_epoch)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _start(self, engine: Engine) -> None:
        self._started, self._first_epoch = 0.0, 0

    def _start_epoch(self, engine: Engine) -> None:
        self.step_timer.pause()  # an epoch starts by waiting for its first batch
        self._volumes = 0
        if not self._started:
            self._started, self._first_epoch = time.perf_counter(), engine.state.epoch

    def _advance(self, engine: Engine) -> None:
        state = engine.state
        if self.bar is None:
            total = (state.max_epochs or 0) * (state.epoch_length or 0)
            done = state.iteration - 1
            self.bar = tqdm(total=total, initial=done, desc=self.description, unit="it", mininterval=1)
        loss = f"{_loss(state.output):.4f}"
        self.bar.set_postfix(epoch=f"{state.epoch}/{state.max_epochs}", loss=loss, refresh=False)
        self.bar.update()
        number, self._unit = _count(state.batch)
        self._volumes += number * world_size()

    def _log_epoch(self, engine: Engine) -> None:
        epoch, epochs = engine.state.epoch, engine.state.max_epochs or 0
        data, steps = self.data_timer.value(), self.step_timer.value()
        left = (time.perf_counter() - self._started) / (epoch - self._first_epoch + 1) * (epochs - epoch)
        device = torch.device(getattr(engine.state, "device", None) or "cpu")
        logger.info(
            f"epoch {epoch}/{epochs}: {data:.1f} s waiting for data, {steps:.1f} s in steps,"
            f" {self._volumes / max(data + steps, 1e-9):.3g} {self._unit} per second,"
            f" peak memory {readable(_peak_memory(device))}, {readable_time(left)} left"
        )

    def _close(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _count(batch: Any) -> tuple[int, str]:
    """Return how many volumes a batch's crops come from, or how many crops it has, and which of both."""
    if isinstance(batch, dict) and batch.get("volume_id") is not None:
        return len(torch.as_tensor(batch["volume_id"]).unique()), "volumes"
    return (len(batch["image"]), "crops") if isinstance(batch, dict) and "image" in batch else (1, "batches")


def _peak_memory(device: torch.device) -> int:
    """Return the most bytes that torch has held on a GPU, or this process in memory, since it started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts kB


def _loss(output: Any) -> float:
    """Return the total loss from the dictionary of our trainers, or from the decollated list of MONAI's."""
    first = output[0] if isinstance(output, list) else output
    value = first["loss"]
    return float(value.detach() if isinstance(value, Tensor) else value)
