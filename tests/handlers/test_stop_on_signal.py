"""A signal ends a run between two steps; what is kept and lost is said, and a resumed run is the whole one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.handlers import ResumeCheckpoint, StopOnSignal
from custom_components.stopping import Stopped
from tests.ranks import run_ranks

Place = tuple[str, int]


@pytest.fixture
def former() -> dict[int, Any]:
    """The handlers of both signals before the test."""
    return handlers()


def handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


class Counting:
    """Something with a state: the sum of the steps."""

    def __init__(self) -> None:
        self.steps = torch.zeros(1)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"].clone()


class Run:
    """Three epochs of four steps, each with a validation of two cases."""

    def __init__(
        self, folder: Path, at: tuple[str, int] | None = None, number: int = 0, resume: bool = False
    ) -> None:
        self.counted, self.at, self.number = Counting(), at, number
        self.trainer, self.evaluator = Engine(self.step), Engine(self.case)
        self.trainer.state.device = torch.device("cpu")
        self.trainer.state.max_epochs, self.trainer.state.epoch_length = 3, 4
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.evaluator.run(range(2)))
        checkpoint = ResumeCheckpoint(str(folder / "resume.pt"), {"counted": self.counted}, resume)
        checkpoint.attach(self.trainer)
        StopOnSignal(checkpoint, self.evaluator).attach(self.trainer)

    def step(self, engine: Engine, batch: int) -> None:
        self.counted.steps += engine.state.iteration
        self.signal(("step", engine.state.iteration))

    def case(self, engine: Engine, batch: int) -> None:
        self.signal(("case", 2 * self.trainer.state.epoch + batch))

    def signal(self, now: Place) -> None:
        if now == self.at:
            os.kill(os.getpid(), self.number)
            os.kill(os.getpid(), self.number)  # a launcher and a terminal send the same request

    def run(self) -> Run:
        self.trainer.run(range(4), max_epochs=3)
        return self


@pytest.mark.parametrize(
    ("at", "number", "status", "said"),
    [
        (("step", 2), signal.SIGTERM, 143, "no epoch was finished, so nothing was saved (2 steps)"),
        (("step", 7), signal.SIGINT, 130, "holds the run after epoch 1 of 3; the 3 steps since then are lost"),
        (("case", 4), signal.SIGTERM, 143, "holds the run after epoch 1 of 3; the 4 steps since then are lost"),
    ],
)
def test_the_run_ends_and_says_what_is_kept(
    tmp_path: Path,
    former: dict[int, Any],
    capfd: pytest.CaptureFixture[str],
    at: Place,
    number: int,
    status: int,
    said: str,
) -> None:
    stopped = Run(tmp_path, at, number)
    with pytest.raises(Stopped) as ended:
        stopped.run()
    assert ended.value.code == status
    name = signal.Signals(number).name
    lines = capfd.readouterr().err.strip().splitlines()
    assert lines[0] == f"{name}: the run ends after this step; a second signal ends it at once"
    assert lines[-1].startswith(f"stopped by {name}: ")
    assert said in lines[-1]
    assert handlers() == former
    again = Run(tmp_path, resume=(tmp_path / "resume.pt").exists()).run()
    assert again.counted.steps.item() == sum(range(1, 13))


def test_what_a_signal_breaks_elsewhere_ends_the_run_in_the_same_way(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def worker_ends(engine: Engine) -> None:
        if engine.state.iteration == 6:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")

    run.trainer.add_event_handler(Events.ITERATION_STARTED, worker_ends)
    with pytest.raises(Stopped) as ended:
        run.run()
    assert ended.value.code == 143


def test_a_run_that_is_not_stopped_leaves_the_handlers_as_they_were(
    tmp_path: Path, former: dict[int, Any]
) -> None:
    Run(tmp_path).run()
    assert handlers() == former
    failing = Run(tmp_path)
    failing.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.run()
    assert handlers() == former


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        stop = StopOnSignal(ResumeCheckpoint(str(tmp_path / "resume.pt"), {}))
        stop._on_signal(signal.SIGTERM, None)
        stop._arrived -= 10
        stop._on_signal(signal.SIGTERM, None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 143


def stop_rank_one(rank: int, folder: Path) -> None:
    """Rank 1 gets a signal in step 6; both write the step after which they end."""
    run = Run(folder / f"rank{rank}", ("step", 6) if rank else None, signal.SIGTERM)
    run.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: time.sleep(0.05 * (1 - rank)))
    try:
        run.run()
    except Stopped as stopped:
        (folder / f"end{rank}").write_text(f"{stopped.code} {run.trainer.state.iteration}")
        os._exit(0)  # the group is gone already


@pytest.mark.slow
def test_all_ranks_end_after_the_same_step(tmp_path: Path) -> None:
    (tmp_path / "rank0").mkdir()
    (tmp_path / "rank1").mkdir()
    run_ranks(stop_rank_one, tmp_path)
    assert [(tmp_path / f"end{rank}").read_text() for rank in (0, 1)] == ["143 6", "143 6"]
