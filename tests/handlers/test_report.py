"""The metrics file of an evaluation."""

from __future__ import annotations

import json

import pytest
from ignite.engine import Engine, Events

from custom_components.handlers import MetricsReport
from custom_components.transfer import file_sha256


def run(handler):
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: engine.state.metrics.update(val_b=0.5, val_a=1))
    handler.attach(engine)
    engine.run([0] * 3)
    return json.loads(handler.path.read_text())


def test_metrics_facts_and_provenance_are_written(tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    found = run(MetricsReport(str(tmp_path / "eval" / "metrics.json"), str(weights), {"seed": 3}))
    assert found["metrics"] == {"val_a": 1.0, "val_b": 0.5}
    assert list(found["metrics"]) == ["val_a", "val_b"]
    assert found["batches"] == 3
    assert found["seed"] == 3
    assert found["weights_sha256"] == file_sha256(weights)
    assert {"versions", "commit", "written"} <= found.keys()


def test_without_weights_their_sha_is_not_recorded(tmp_path):
    assert run(MetricsReport(str(tmp_path / "metrics.json")))["weights_sha256"] is None


def test_missing_weights_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match="model.pt"):
        run(MetricsReport(str(tmp_path / "metrics.json"), str(tmp_path / "model.pt")))
