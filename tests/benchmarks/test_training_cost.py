from __future__ import annotations

import pytest

from mim3d.catalog import METHODS, TASKS
from tests.benchmarks.results import read

NAMES = {item.bundle.name for item in (*METHODS.values(), *TASKS.values())}


def test_the_committed_estimates_are_those_of_the_configs_and_of_the_measured_steps(load_script):
    assert read("training_cost.json")["bundles"] == load_script("training_cost").estimates()


def test_steps_are_epochs_times_whole_batches():
    found = read("training_cost.json")["bundles"]
    assert found.keys() == NAMES
    assert found["seg_btcv"]["steps"] == 3000 * 24  # batches of one volume
    assert found["pretrain_simclr"]["steps"] == 1000 * 12  # whole batches of 8 out of 100
    assert found["seg_msd_hippocampus"]["steps"] == 100 * 65


def test_a_step_that_was_measured_takes_its_measured_time():
    """HybridMIM's default network and crop are those of the benchmark, at one crop a step in place of four."""
    step = read("pretrain_step_cpu_basic_unet.json")["variants"]["full"]["seconds"]["step"]
    found = read("training_cost.json")["bundles"]["pretrain_hybridmim"]
    assert found["same_step"]
    assert found["seconds_per_step"] == pytest.approx(4 * step, abs=0.1)
    assert found["days"] == pytest.approx(50_000 * 4 * step / 86400, abs=0.1)
