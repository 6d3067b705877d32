"""Ending a run whose key metric no longer improves."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.handlers import BestCheckpoint, EarlyStopping


def train(folder, values, patience, val_interval=2, mode="max", start=None):
    """Train with these values of the key metric; returns the last epoch, and what a resume file would hold."""
    best = BestCheckpoint(str(folder), {"model.pt": torch.nn.Linear(2, 2)}, "val_probe_dice", mode)
    trainer, validator = (Engine(lambda engine, batch: None) for _ in range(2))
    best.attach(validator)

    def validate():
        def measure(engine):
            engine.state.epoch = trainer.state.epoch
            engine.state.metrics["val_probe_dice"] = values[trainer.state.epoch // val_interval - 1]

        engine = Engine(lambda engine, batch: None)
        engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
        best.attach(engine)
        engine.run([0], max_epochs=1)

    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=val_interval), validate)
    EarlyStopping(best, patience, val_interval).attach(trainer)
    ended = []
    trainer.add_event_handler(Events.COMPLETED, lambda: ended.append(True))
    if start is not None:
        best.load_state_dict(start["best"])
        trainer.add_event_handler(Events.STARTED, lambda: setattr(trainer.state, "epoch", start["epoch"]))
    trainer.run([0], max_epochs=val_interval * len(values))
    assert ended == [True], "handlers that end with the run still do"
    return {"epoch": trainer.state.epoch, "best": best.state_dict()}


VALUES = [0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.9]


@pytest.mark.parametrize(("patience", "epoch", "best"), [(None, 18, 0.9), (1, 6, 0.3), (2, 8, 0.3), (3, 16, 0.4)])
def test_training_ends_after_that_many_validations_without_a_better_value(tmp_path, patience, epoch, best):
    found = train(tmp_path, VALUES, patience)
    assert (found["epoch"], found["best"]["best"]) == (epoch, best)


def test_lower_is_better_where_the_metric_says_so_and_nan_is_no_progress(tmp_path):
    assert train(tmp_path, [3.0, float("nan"), float("nan"), 1.0], 2, mode="min")["epoch"] == 6
    assert train(tmp_path, [3.0, 2.0, 1.0, 0.5], 1, mode="min")["epoch"] == 8


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path):
    half = train(tmp_path, VALUES[:6], None)
    assert train(tmp_path, VALUES, 3, start=half) == train(tmp_path, VALUES, 3)
