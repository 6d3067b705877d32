"""The MLflow log: what a run leaves there, with a stand-in for the package that keeps what it is given."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine, Events
from monai.handlers import mlflow_handler

from custom_components.checks import RunRecord
from custom_components.faults import Fault
from custom_components.handlers import MLFlowLog
from custom_components.handlers.mlflow_log import run_parameters

URI = "sqlite:///x/mlruns.db"


class MlflowException(Exception):
    """What MLflow raises."""


class Client:
    """Keeps runs in a list; refuses metrics from the step ``full`` on, and everything if ``down``."""

    runs: list[SimpleNamespace]
    full: float
    down: bool
    at_end: list[Callable[[], None]]

    def __init__(self, tracking_uri: str | None) -> None:
        self.tracking_uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        if self.down:
            raise MlflowException("refused")
        return SimpleNamespace(experiment_id=name, lifecycle_stage="active")

    def search_runs(self, experiment: str) -> list[SimpleNamespace]:
        return [run for run in self.runs if run.experiment == experiment]

    def create_run(self, experiment_id: str, run_name: str) -> SimpleNamespace:
        info = SimpleNamespace(run_id=len(self.runs), run_name=run_name, status="RUNNING")
        run = SimpleNamespace(info=info, data=SimpleNamespace(params={}), metrics={}, files=[])
        run.experiment = experiment_id
        self.runs.append(run)
        return run

    def get_run(self, run_id: int) -> SimpleNamespace:
        return self.runs[run_id]

    def log_batch(self, run_id: int, metrics: list, params: list, tags: list) -> None:
        run = self.runs[run_id]
        assert len(params) <= 100
        for name, value in params:
            assert len(value) <= 500
            assert run.data.params.setdefault(name, value) == value  # MLflow takes no second value
        for name, value, _, step in metrics:
            if step >= self.full:
                raise MlflowException("the disk is full")
            run.metrics.setdefault(name, []).append((step, value))

    def log_artifact(self, run_id: int, path: str) -> None:
        self.runs[run_id].files.append(Path(path).name)

    def set_terminated(self, run_id: int, status: str) -> None:
        self.runs[run_id].info.status = status


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """The stand-in; its class holds the runs."""
    Client.runs, Client.full, Client.down, Client.at_end = [], float("inf"), False, []
    monkeypatch.setattr("atexit.register", Client.at_end.append)
    monkeypatch.setattr("atexit.unregister", Client.at_end.remove)
    entities = SimpleNamespace(
        Param=lambda *pair: pair,
        Metric=lambda *values: values,
        RunStatus=SimpleNamespace(to_string=str, FINISHED="FINISHED"),
        LifecycleStage=SimpleNamespace(ACTIVE="active"),
    )
    monkeypatch.setattr(mlflow_handler, "mlflow", SimpleNamespace(MlflowClient=Client, entities=entities))
    monkeypatch.setattr(mlflow_handler, "MlflowException", MlflowException)
    return Client


@pytest.fixture
def record(tmp_path: Path) -> Iterator[RunRecord]:
    config = tmp_path / "train.yaml"
    config.write_text("{epochs: 2, spacing: [1, 1], rate: '$@epochs / 2', network: {_target_: Net}, path: null}")
    command = ["/x/monai/bundle/__main__.py", "run", "--config_file", str(config), "--epochs", "3"]
    made = RunRecord(str(tmp_path / "models"), [*command, "--note", "n" * 1000])
    made()
    yield made
    handler = logging.getLogger().handlers[-1]
    logging.getLogger().removeHandler(handler)
    handler.close()


def train(record: RunRecord | None, stop_at: int | None = None, run_name: str | None = None) -> MLFlowLog:
    """Two epochs of three steps with a validation each; returns the handler of the training."""
    given: dict[str, Any] = {"tracking_uri": URI, "experiment_name": "e", "record": record, "run_name": run_name}
    trainer = Engine(lambda engine, batch: {"loss": float(batch), "count": 2, "names": ["a"]})
    evaluator = Engine(lambda engine, batch: None)
    log = MLFlowLog(output_transform=lambda output: output, close_on_complete=True, **given)
    log.attach(trainer)
    MLFlowLog(iteration_log=False, **given).attach(evaluator)

    def validate(engine: Engine) -> None:
        evaluator.state.metrics = {"dice": engine.state.epoch / 4}
        evaluator.state.epoch, evaluator.state.max_epochs = engine.state.epoch - 1, engine.state.epoch
        evaluator.run([0], max_epochs=engine.state.epoch)

    def stop(engine: Engine) -> None:
        if engine.state.iteration == stop_at:
            raise KeyboardInterrupt

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    trainer.run(range(3), max_epochs=2)
    return log


def test_one_run_has_losses_metrics_settings_and_files(client: type[Client], record: RunRecord) -> None:
    train(record)
    (run,) = client.runs
    assert run.metrics == {
        "loss": [(1, 0.0), (2, 1.0), (3, 2.0), (4, 0.0), (5, 1.0), (6, 2.0)],
        "count": [(step, 2.0) for step in range(1, 7)],
        "dice": [(1, 0.25), (2, 0.5)],
    }
    assert (run.info.run_name, run.info.status) == (str(record.written), "FINISHED")
    params = run.data.params
    assert (params["epochs"], params["spacing"], params["path"]) == ("3", "[1, 1]", "None")
    assert {"command", "commit", "record", "version.monai", "max_epochs"} < params.keys()
    assert not {"rate", "network"} & params.keys()
    assert run.files[:2] == ["config.yaml", "run.json"]
    assert set(run.files[2:]) == {"config.yaml", "run.json", "log.txt"}


def test_an_interrupted_run_ends_as_killed_and_the_next_one_is_another(
    client: type[Client], record: RunRecord
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(record, stop_at=4)
    (end,) = client.at_end
    end()
    assert client.runs[0].info.status == "KILLED"
    assert client.runs[0].files == ["config.yaml", "run.json"]
    record()
    train(record)
    assert client.at_end == [end]
    assert [run.info.status for run in client.runs] == ["KILLED", "FINISHED"]


def test_a_named_run_goes_on_with_its_first_settings(client: type[Client], record: RunRecord) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(record, stop_at=4, run_name="mine")
    record()
    train(record, run_name="mine")
    (run,) = client.runs
    assert len(run.metrics["loss"]) == 4 + 6


def test_many_and_long_settings_are_within_the_limits(record: RunRecord, client: type[Client]) -> None:
    assert record.written is not None
    facts = json.loads((record.written / "run.json").read_text(encoding="utf-8"))
    assert len(facts["command"]) > 500
    text = "\n".join(f"key{number}: {number}" for number in range(250))
    (record.written / "config.yaml").write_text(text, encoding="utf-8")
    assert len(run_parameters(record.written)) > 250
    train(record)
    assert client.runs[0].data.params["key249"] == "249"


def test_without_a_record_the_values_are_logged(client: type[Client]) -> None:
    train(None)
    (run,) = client.runs
    assert run.metrics["dice"] == [(1, 0.25), (2, 0.5)]
    assert (set(run.data.params), run.files) == ({"max_epochs", "epoch_length"}, [])


def test_values_that_are_not_taken_do_not_end_the_training(
    client: type[Client], record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    client.full = 4
    train(record)
    assert client.runs[0].metrics["loss"] == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert (
        caplog.text.count("MLflow does not take values of step 4 and maybe of later ones: the disk is full") == 1
    )


def test_a_server_that_is_gone_at_the_start_is_one_line(client: type[Client], record: RunRecord) -> None:
    client.down = True
    with pytest.raises(Fault, match="the run cannot be logged to MLflow: refused; leave out --tracking"):
        train(record)
