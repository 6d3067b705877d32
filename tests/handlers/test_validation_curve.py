"""The table of all validations."""

from __future__ import annotations

from pathlib import Path

import pytest
from ignite.engine import Engine, Events

from custom_components.faults import Fault
from custom_components.handlers import ValidationCurve, read_curve


def validate(curve: ValidationCurve, rows: dict[int, dict[str, float]]) -> list[dict[str, float]]:
    for epoch, metrics in rows.items():
        engine = Engine(lambda engine, batch: None)

        def measure(engine, epoch=epoch, metrics=metrics):
            engine.state.epoch, engine.state.metrics = epoch, dict(metrics)

        engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
        curve.attach(engine)
        engine.run([0], max_epochs=1)
    return read_curve(curve.path)


def test_a_row_per_validation_and_a_column_per_metric(tmp_path: Path) -> None:
    assert read_curve(tmp_path / "validation_curve.csv") == []
    curve = ValidationCurve(str(tmp_path))
    curve.add(0, {"val_probe_dice": 0.25})
    found = validate(curve, {5: {"val_loss": 2.0}, 10: {"val_loss": 1.5, "val_probe_dice": 0.5}})
    assert found == [
        {"epoch": 0, "val_probe_dice": 0.25, "val_loss": None},
        {"epoch": 5, "val_probe_dice": None, "val_loss": 2.0},
        {"epoch": 10, "val_probe_dice": 0.5, "val_loss": 1.5},
    ]


def test_a_resumed_run_goes_on_after_its_epoch_and_a_new_run_starts_afresh(tmp_path: Path) -> None:
    whole = {5: {"val_loss": 2.0}, 10: {"val_loss": 1.5}, 15: {"val_loss": 1.0}}
    validate(ValidationCurve(str(tmp_path)), whole)
    resumed = validate(ValidationCurve(str(tmp_path), resume=True), {10: {"val_loss": 3.0}})
    assert [(row["epoch"], row["val_loss"]) for row in resumed] == [(5, 2.0), (10, 3.0)]
    afresh = validate(ValidationCurve(str(tmp_path)), {7: {"val_loss": 9.0}})
    assert afresh == [{"epoch": 7, "val_loss": 9.0}]


def test_a_damaged_table_is_named_and_does_not_end_a_resumed_run(tmp_path: Path, caplog) -> None:
    path = tmp_path / "validation_curve.csv"
    for content in ("no table", "epoch,val_loss\n5,high\n"):
        path.write_text(content + "\n1\n")
        with pytest.raises(Fault, match="validation_curve.csv is not a table of validations"):
            read_curve(path)
    assert len(validate(ValidationCurve(str(tmp_path), resume=True), {9: {"val_loss": 1.0}})) == 1
    assert "validation_curve.csv is not a table of validations" in caplog.text


def test_only_rank_zero_writes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert validate(ValidationCurve(str(tmp_path)), {1: {"val_loss": 1.0}}) == []
