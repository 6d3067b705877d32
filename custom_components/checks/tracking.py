"""Check: can a run be logged to MLflow, if it is asked for?"""

from __future__ import annotations

import importlib.util
import os

from monai.handlers import mlflow_handler  # it imports MLflow where it is installed

MLFLOW = "mlflow"


class Tracking:
    """``tracking`` must be null or mlflow; with mlflow, the package must be there and a server must answer.

    Args:
        tracking: null: the run is logged to TensorBoard alone; ``mlflow``: to MLflow, too.
        uri: where MLflow keeps its runs; the environment variable ``MLFLOW_TRACKING_URI`` comes before it.
    """

    def __init__(self, tracking: str | None, uri: str) -> None:
        self.tracking, self.uri = tracking, os.environ.get("MLFLOW_TRACKING_URI") or uri

    def __call__(self) -> str | None:
        """Return where the run is logged; raise ValueError for everything that the class refuses."""
        if self.tracking is None:
            return None
        if self.tracking != MLFLOW:
            raise ValueError(f"tracking is {self.tracking!r}; allowed: null, {MLFLOW}")
        check_installed()
        scheme, found, _ = self.uri.partition("://")
        if not found or scheme == "file":
            raise ValueError(
                f"tracking_uri is {self.uri!r}; allowed: a server (http://HOST:5000) or a database"
                " (sqlite:///FOLDER/mlruns.db), because MLflow no longer writes into plain folders"
            )
        if scheme in ("http", "https"):
            _reach(self.uri)
        return f"MLflow, {self.uri}"


def check_installed() -> None:
    """Raise ValueError if MLflow is not installed."""
    if importlib.util.find_spec(MLFLOW) is None:
        raise ValueError(
            "tracking is mlflow, but MLflow is not installed: pip install mlflow, or leave out --tracking"
        )


def _reach(uri: str) -> None:
    """Raise ValueError if a server does not answer; nothing is written there."""
    try:
        mlflow_handler.mlflow.MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except mlflow_handler.MlflowException as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"the MLflow server {uri} does not answer: {reason}") from error
