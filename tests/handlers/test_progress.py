"""The progress bar."""

from __future__ import annotations

import logging
import re
import time
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.handlers import ProgressLog


@pytest.mark.parametrize("output", [{"loss": 0.125, "count": 3.0}, [{"loss": 0.125}]])
def test_one_bar_covers_all_epochs_and_shows_the_loss(capsys, output):
    engine, progress = Engine(lambda engine, batch: output), ProgressLog("pretrain")
    progress.attach(engine)
    seen = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: seen.append((progress.bar.n, progress.bar.total, progress.bar.postfix))
    )
    engine.run([0] * 3, max_epochs=2)
    assert [n for n, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in seen} == {6}
    assert seen[-1][2] == "epoch=2/2, loss=0.1250"
    assert progress.bar is None
    assert "pretrain" in capsys.readouterr().err


def test_a_resumed_run_begins_where_it_stopped():
    engine, progress = Engine(lambda engine, batch: {"loss": 0.0}), ProgressLog()
    progress.attach(engine)
    first = []

    @engine.on(Events.STARTED)
    def resume():
        engine.state.epoch, engine.state.iteration = 1, 3

    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: first.append((progress.bar.initial, progress.bar.n))
    )
    engine.run([0] * 3, max_epochs=2)
    assert first == [(3, 4), (3, 5), (3, 6)]


def test_each_epoch_logs_the_time_waited_for_data_and_the_time_in_steps(caplog):
    class Slow:
        def __len__(self):
            return 2

        def __iter__(self):
            for _ in range(2):
                time.sleep(0.1)
                yield 0

    progress = ProgressLog()

    def step(engine, batch):
        time.sleep(0.01)
        return {"loss": 0.0}

    engine = Engine(step)
    progress.attach(engine)
    with caplog.at_level(logging.DEBUG, logger="custom_components.handlers.progress"):
        engine.run(Slow(), max_epochs=2)
    for epoch in (1, 2):
        assert re.search(
            rf"epoch {epoch}/2: \d+\.\d s waiting for data, \d+\.\d s in steps, \S+ batches per second,"
            rf" peak memory \d\S* [kMG]B, {2 - epoch and '[01]' or 0} s left",
            caplog.text,
        )
    assert progress.data_timer.value() >= 0.2
    assert 0.02 <= progress.step_timer.value() < 0.1  # two steps, and no waiting


CROPS = [{"image": torch.zeros(4, 1, 2, 2, 2), "volume_id": torch.tensor([7, 7, 9, 9])}]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [(CROPS, "6 volumes"), ([{"image": torch.zeros(4, 1)}], "12 crops"), ([0], "3 batches")],
)
def test_speed_counts_distinct_volumes_and_the_time_left_is_from_this_runs_epochs(
    caplog, monkeypatch, batches, expected
):
    progress, now = ProgressLog(), [0.0]
    monkeypatch.setattr("custom_components.handlers.progress.time", SimpleNamespace(perf_counter=lambda: now[0]))
    engine = Engine(lambda engine, batch: {"loss": 0.0})
    progress.attach(engine)
    monkeypatch.setattr(progress.data_timer, "value", lambda: 0.25)
    monkeypatch.setattr(progress.step_timer, "value", lambda: 0.75)

    @engine.on(Events.STARTED)
    def resume():
        engine.state.epoch = 2

    @engine.on(Events.ITERATION_COMPLETED)
    def wait():
        now[0] += 40  # three steps an epoch

    with caplog.at_level(logging.INFO, logger="custom_components.handlers.progress"):
        engine.run(batches * 3, max_epochs=5)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == ["epoch 3/5", "epoch 4/5", "epoch 5/5"]
    assert all(f", {expected} per second," in line for line in lines)
    assert [line.rsplit(", ", 1)[1] for line in lines] == ["4 min left", "2 min left", "0 s left"]
