"""The learning-rate schedule: MONAI's values, and a state that is only the step count."""

from __future__ import annotations

import math

import pytest
import torch
from monai.optimizers import WarmupCosineSchedule

from custom_components.engine import WarmupCosine


def optimizer(rate=0.1):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)


def rates(schedule, steps):
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("warmup", "total", "first"), [(0, 10, 0.0), (3, 10, 0.0), (5, 20, 0.1), (1, 7, 1.0)])
def test_warmup_cosine_is_monais_schedule(warmup, total, first):
    ours = WarmupCosine(optimizer(), warmup, total, warmup_factor=first)
    theirs = WarmupCosineSchedule(optimizer(), warmup, total, warmup_multiplier=first)
    assert rates(ours, total + 1) == pytest.approx(rates(theirs, total + 1), abs=1e-12)


def test_warmup_cosine_ends_at_its_end_factor_and_stays_there():
    schedule = WarmupCosine(optimizer(0.2), 2, 8, end_factor=0.25)
    found = rates(schedule, 12)
    assert found[2] == pytest.approx(0.2)
    assert found[5] == pytest.approx(0.2 * (0.25 + 0.75 * 0.5))
    assert found[8:] == pytest.approx([0.05] * 4)


def test_a_loaded_schedule_stands_at_the_saved_step_of_its_own_course():
    short = WarmupCosine(optimizer(), 2, 6)
    rates(short, 4)
    longer = WarmupCosine(optimizer(), 2, 12)
    longer.load_state_dict(short.state_dict())
    expected = 0.1 * 0.5 * (1 + math.cos(math.pi * 2 / 10))
    assert longer.get_last_lr() == pytest.approx([expected])
    assert longer.optimizer.param_groups[0]["lr"] == pytest.approx(expected)
    reference = WarmupCosine(optimizer(), 2, 12)
    assert rates(longer, 5) == pytest.approx(rates(reference, 9)[4:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup_steps": 5, "total_steps": 5}, "warm-up of 5 steps does not fit into 5"),
        ({"warmup_steps": -1, "total_steps": 5}, "warm-up of -1 steps"),
        (
            {"warmup_steps": 0, "total_steps": 5, "end_factor": 1.5},
            "end_factor is 1.5; allowed: a number at least 0 and at most 1",
        ),
        ({"warmup_steps": 0, "total_steps": 5, "warmup_factor": -0.5}, "warmup_factor is -0.5"),
    ],
)
def test_numbers_that_do_not_fit_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosine(optimizer(), **arguments)
