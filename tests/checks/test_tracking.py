"""Tracking: what may be asked for, and that the configs notice MONAI's option --tracking."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS
from monai.handlers import mlflow_handler

from custom_components.checks import Tracking
from custom_components.checks.overrides import Overrides
from mim3d.catalog import METHODS, TASKS

LOCAL = "sqlite:///x/mlruns.db"
MISSING = "tracking is mlflow, but MLflow is not installed: pip install mlflow, or leave out --tracking"


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_no_tracking_asks_for_nothing() -> None:
    assert Tracking(None, "nowhere")() is None


def test_without_mlflow_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run = [str(Path("monai/bundle/__main__.py")), "run", "--config_file", "none.yaml"]
    with pytest.raises(ValueError, match=MISSING):
        Overrides([*run, "--tracking", "mlflow"])()
    with pytest.raises(ValueError, match=MISSING):
        Tracking("mlflow", LOCAL)()


@pytest.mark.usefixtures("_installed")
def test_other_tools_and_folders_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="tracking is 'wandb'; allowed: null, mlflow"):
        Tracking("wandb", LOCAL)()
    for uri in ("/tmp/runs", "file:///tmp/runs"):
        with pytest.raises(ValueError, match=f"tracking_uri is '{uri}'; allowed: a server"):
            Tracking("mlflow", uri)()
    assert Tracking("mlflow", LOCAL)() == f"MLflow, {LOCAL}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert Tracking("mlflow", "/tmp/runs")() == "MLflow, sqlite:///other.db"


@pytest.mark.usefixtures("_installed")
def test_a_server_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class MlflowException(Exception):
        pass

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            self.uri = tracking_uri

        def search_experiments(self, max_results: int) -> None:
            if "down" in self.uri:
                raise MlflowException("refused\nby the host")

    monkeypatch.setattr(mlflow_handler, "mlflow", SimpleNamespace(MlflowClient=Client))
    monkeypatch.setattr(mlflow_handler, "MlflowException", MlflowException)
    assert Tracking("mlflow", "http://up:5000")() == "MLflow, http://up:5000"
    with pytest.raises(ValueError, match="http://down:5000 does not answer: refused by the host"):
        Tracking("mlflow", "http://down:5000")()


@pytest.mark.parametrize("bundle", [*METHODS, *TASKS])
def test_the_option_of_monai_sets_the_key_and_its_own_handlers_stay_off(bundle: str, tmp_path: Path) -> None:
    folder = (METHODS.get(bundle) or TASKS[bundle]).bundle
    parser = ConfigParser(ConfigParser.load_config_file(str(folder / "configs" / "train.yaml")))
    parser["output_dir"] = str(tmp_path)
    assert parser.get_parsed_content("tracking") is None
    own = {group: len(parser[group]["handlers"]) for group in ("train", "validate")}
    ConfigWorkflow.patch_bundle_tracking(parser, DEFAULT_EXP_MGMT_SETTINGS["mlflow"])
    parser.parse(True)
    assert parser.get_parsed_content("tracking") == "mlflow"
    for group, number in own.items():
        (added,) = parser[group]["handlers"][number:]
        assert (added["_target_"], added["_disabled_"]) == ("MLFlowHandler", "@is_not_rank0")
        ours = [entry for entry in parser[group]["handlers"] if "MLFlowLog" in str(entry)]
        assert len(ours) == 1
    assert parser.get_parsed_content("is_not_rank0") is True
    assert parser.get_parsed_content("tracking_uri") == f"sqlite:///{tmp_path}/mlruns.db"
