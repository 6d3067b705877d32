"""The time of a study before anything has run: timed steps, and runs that wait for others."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.study import run_study, timing
from mim3d.study.devices import make_slots
from mim3d.study.plan import Plan
from mim3d.study.scheduler import Scheduler
from mim3d.study.stages import first_runs, known_runs
from tests.mim3d.study.stubs import stub


@pytest.mark.slow
def test_steps_of_every_kind_of_run_can_be_timed(make: Callable[..., Plan]) -> None:
    plan = make(grid={"method": ["scratch", "hybridmim", "simclr"], "labels": [2], "seed": [0]})
    runs = first_runs(plan)
    assert [run.kind for run in runs] == ["pretraining"] * 2 + ["training"] * 3
    assert all(timing.seconds_per_step(run.config, run.kind, "cpu") > 0 for run in (*runs[:2], runs[-1]))


def test_steps_and_scored_volumes_take_time(make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(grid={"labels": [2], "seed": [0]})
    before, scratch, tuned = first_runs(plan)
    test = plan.test(tuned)
    monkeypatch.setattr(timing, "seconds_per_step", lambda config, kind, device: 2.0)
    found = timing.expected_seconds(plan, [before, scratch, tuned, test], make_slots(["cpu"], 1))
    volume = 2.0 * timing.VOLUME_STEPS
    validated = 2 * 2 * volume  # two validations of two cases
    assert found == {
        before.digest: timing.OVERHEAD + 2.0 * before.steps,
        scratch.digest: timing.OVERHEAD + 2.0 * scratch.steps + validated,
        tuned.digest: timing.OVERHEAD + 2.0 * tuned.steps + validated,
        test.digest: timing.OVERHEAD + 3 * volume,
    }


def test_a_study_takes_as_long_as_the_slot_that_ends_last(tmp_path: Path) -> None:
    before, after = stub(tmp_path, "before"), stub(tmp_path, "after", needs=("before",))
    others = [stub(tmp_path, name) for name in ("one", "two")]
    seconds = {"before": 10.0, "one": 4.0, "two": 4.0, "after": 3.0}
    # The second slot runs one and two while the first is busy; after waits for before.
    assert timing.makespan([before, *others, after], seconds, 2) == 13.0
    assert timing.makespan([before, *others, after], seconds, 1) == 21.0
    assert timing.makespan([after], seconds, 2) == 3.0


@pytest.mark.slow
def test_a_timed_study_says_at_its_start_how_long_it_takes(
    study_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left: list[float | None] = []

    def not_run(plan: Plan, scheduler: Scheduler) -> None:
        left.append(scheduler.times.left(known_runs(plan), 1))

    monkeypatch.setattr(timing, "seconds_per_step", lambda config, kind, device: 2.0)
    monkeypatch.setattr(run_study, "_run", not_run)
    given = {"out": tmp_path / "out", "dataset_dir": None, "devices": ["cpu"], "parallel": 1, "budget": 1.0}
    file = study_file(grid={"labels": [2], "seed": [0]})
    run_study.run_study(argparse.Namespace(**given, dry_run=False, time=True), file)
    # a pretraining, and two trainings and tests of 8 steps, 4 validated and 3 tested volumes
    seconds = 5 * timing.OVERHEAD + 2.0 * (3 * 8 + 2 * (4 + 3) * timing.VOLUME_STEPS)
    assert left == [pytest.approx(seconds)]
    assert f"time: about {seconds / 60:.0f} min, from steps timed on this machine" in capsys.readouterr().out
