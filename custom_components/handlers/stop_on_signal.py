"""Ending a training by SIGTERM or Ctrl-C between two steps, and saying how to go on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events

from custom_components.distributed import any_rank, is_initialized, rank
from custom_components.handlers.resume import ResumeCheckpoint
from custom_components.stopping import Stopped, close_bars, in_main_thread, leave_workers_alone, say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A terminal and a launcher may both send the signal of one Ctrl-C.
_SAME_REQUEST_SECONDS = 1.0


class StopOnSignal:
    """End a run after the step in which SIGTERM or SIGINT arrives; a second signal ends it at once.

    The state after the last finished epoch is already in the resume file. The steps since then are lost: a run
    that resumed within an epoch would not equal an uninterrupted one. All ranks stop after the same step. The exit
    status is 128 plus the signal's number (SIGINT 130, SIGTERM 143).

    Args:
        checkpoint: the run's resume checkpoint; attach it to the trainer before this handler.
        evaluator: the run's validation, which is stopped between two of its cases.
    """

    def __init__(self, checkpoint: ResumeCheckpoint, evaluator: Engine | None = None) -> None:
        self.checkpoint, self.evaluator = checkpoint, evaluator
        self.number = 0  # of the signal that arrived
        self._arrived = 0.0
        self._former: dict[int, Any] = {}
        self._trainer: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        self._trainer = engine
        engine.add_event_handler(Events.STARTED, self._listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._after_step)
        engine.add_event_handler(Events.COMPLETED, self._leave)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._after_case)

    def _listen(self, engine: Engine) -> None:
        if in_main_thread():
            leave_workers_alone()
            self._former = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}

    def _leave(self, engine: Engine | None = None) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._arrived = number, now
            say(f"{signal.Signals(number).name}: the run ends after this step; a second signal ends it at once")
        elif now - self._arrived > _SAME_REQUEST_SECONDS:
            for child in multiprocessing.active_children():
                child.kill()
            say(f"stopped by {signal.Signals(number).name}; files that were saved before are intact")
            os._exit(128 + number)

    def _after_step(self, engine: Any) -> None:
        """End all ranks if any of them has got a signal."""
        number = any_rank(self.number, engine.state.device)
        if number:
            self._end(number)

    def _after_case(self, engine: Engine) -> None:
        # Ranks validate different numbers of cases, so they cannot agree here; each ends by itself.
        if self.number:
            self._end(self.number)

    def _failed(self, engine: Engine, error: BaseException) -> None:
        """Take a failure after a signal for its consequence: a worker or another rank has ended already."""
        if self.number and isinstance(error, Exception):
            self._end(self.number)
        self._leave()
        raise error

    def _end(self, number: int) -> None:
        self._leave()
        close_bars()
        if rank() == 0:
            print(f"\nstopped by {signal.Signals(number).name}: {self._left()}", file=sys.stderr, flush=True)
        if is_initialized():
            if in_main_thread():  # torchrun signals the others when one rank has ended
                for again in _SIGNALS:
                    signal.signal(again, signal.SIG_IGN)
            dist.destroy_process_group()
            time.sleep(1)  # gloo's threads free their last tensors; at interpreter exit that would abort the rank
        raise Stopped(number)

    def _left(self) -> str:
        """Return what is on the disk, what is lost, and how to go on."""
        state, path = self._trainer.state, self.checkpoint.path
        length = state.epoch_length or 0
        lost = state.iteration - self.checkpoint.epoch * length
        if not self.checkpoint.epoch:
            return f"no epoch was finished, so nothing was saved ({lost} steps); start the run again"
        since = f"the {lost} steps since then are lost" if lost else "nothing is lost"
        kept = f"{path} holds the run after epoch {self.checkpoint.epoch} of {state.max_epochs}"
        return f"{kept}; {since}. To continue, add --resume True to the same command"
