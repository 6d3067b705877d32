"""Lengths of trainings: steps nearest to the budget, with a validation at the end."""

from __future__ import annotations

import pytest

from mim3d.study.progress import Times, clock
from mim3d.study.schedule import schedule


@pytest.mark.parametrize("steps", [1, 7, 50, 200, 1000])
@pytest.mark.parametrize("per_epoch", [1, 2, 3, 20, 300])
@pytest.mark.parametrize("validations", [1, 6, 20])
def test_steps_are_near_the_budget_and_the_last_epoch_is_validated(
    steps: int, per_epoch: int, validations: int
) -> None:
    found = schedule(steps, per_epoch, validations)
    assert found.epochs % found.val_interval == 0
    assert found.steps == found.epochs * per_epoch
    target = max(1, round(steps / per_epoch))
    assert abs(found.epochs - target) <= max(0.0, found.val_interval / 2)
    assert found.epochs / found.val_interval <= 2 * validations


def test_a_schedule_of_few_labels() -> None:
    found = schedule(200, 3, 10)  # 66.7 epochs asked for: 66 in steps of 6 are nearer than 70 in steps of 7
    assert (found.epochs, found.val_interval, found.steps) == (66, 6, 198)


class Work:
    def __init__(self, kind: str, steps: int) -> None:
        self.kind, self.steps = kind, steps


def test_time_left_is_learned_for_each_kind_and_shared_by_the_slots() -> None:
    times = Times()
    times.learn(Work("training", 100), 50.0)
    assert times.left([Work("training", 200), Work("training", 40)], 2) == pytest.approx(60.0)
    assert times.left([Work("training", 200), Work("test", 1)], 2) is None
    assert times.left([], 1) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (59.6, "60 s"), (600, "10 min"), (7500, "2 h 05 min"), (200000, "2 d 7 h")],
)
def test_a_time_is_short(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text
