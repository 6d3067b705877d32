"""The warning at the end of a pretraining that reconstructs no better than a trivial fill."""

from __future__ import annotations

import logging

import pytest
from ignite.engine import Engine

from custom_components.handlers import FillWarning
from custom_components.handlers.fill_warning import EXPLAINED
from custom_components.metrics.pretext import term_metrics, validation_names


def test_the_validation_of_a_reconstruction_has_the_value_that_is_read() -> None:
    assert EXPLAINED in term_metrics(validation_names(["reconstruction"]))
    assert EXPLAINED not in term_metrics(validation_names(["contrast"], views=True))


@pytest.mark.parametrize(
    ("metrics", "warned"),
    [
        ({"val_explained_mae_gaussian_fill": -0.25}, True),
        ({"val_explained_mae_gaussian_fill": 0.0}, True),
        ({"val_explained_mae_gaussian_fill": 0.01}, False),
        ({"val_loss": 3.0}, False),  # SimCLR: nothing is reconstructed
        ({}, False),  # no validation has run
    ],
)
def test_a_share_of_zero_or_less_after_the_last_epoch_is_said_once(
    metrics: dict[str, float], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    trainer, evaluator = (Engine(lambda engine, batch: None) for _ in range(2))
    FillWarning(evaluator).attach(trainer)
    evaluator.state.metrics = metrics
    with caplog.at_level(logging.WARNING):
        trainer.run([0], max_epochs=3)
    assert len(caplog.messages) == warned
    if warned:
        share = metrics["val_explained_mae_gaussian_fill"]
        assert f"val_explained_mae_gaussian_fill is {share:.3f}: masked voxels" in caplog.text
        assert "--relative_output True" in caplog.text
