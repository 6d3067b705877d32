"""Logs a run to MLflow: its config, command and commit, losses and metrics."""

from __future__ import annotations

import atexit
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ignite.engine import Engine
from monai.handlers import mlflow_handler
from monai.handlers.mlflow_handler import MLFlowHandler
from monai.utils.misc import is_scalar

from custom_components.checks.run_record import CONFIG, FACTS, RunRecord
from custom_components.faults import Fault

logger = logging.getLogger(__name__)
_LONGEST = 500  # characters of a parameter, and
_MOST = 100  # parameters of one call, that all MLflow servers take
_KILLED = "KILLED"


class MLFlowLog(MLFlowHandler):
    """MONAI's handler for one run of training and validation, which share it by its name.

    The files of `RunRecord` are artifacts: config and command from the start, the log at the end. The settings at
    the top of the config that are plain values, and commit, versions and command, are parameters. A run that is
    interrupted ends as KILLED, and resuming it begins another run, as each start has a record of its own.

    Args:
        tracking_uri: a server or a database, see `custom_components.checks.Tracking`.
        record: the record of the run, which is written before the run starts; None: nothing but values is logged.
        run_name: name of the run; None: the folder of the record.
        kwargs: as for `MLFlowHandler`.

    Raises:
        Fault: when the run starts, if MLflow takes nothing. Values that it does not take later are left out with a
            warning, because they must not end a training.
    """

    def __init__(
        self, tracking_uri: str, record: RunRecord | None = None, run_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(tracking_uri=tracking_uri, run_name=run_name, **kwargs)
        self.record, self.failed = record, False

    def start(self, engine: Engine) -> None:
        """Find or make the run; log its parameters, config and command."""
        folder = None if self.record is None else self.record.written
        first = self.cur_run is None
        if folder is not None and first:
            self.run_name = self.run_name or str(folder)
            self.experiment_param = run_parameters(folder)
            self.artifacts = (str(folder),) if self.close_on_complete else ()
        try:
            super().start(engine)
            if folder is not None and first and self.close_on_complete:
                self._log_files(folder)
        except _exception() as error:
            raise Fault(f"the run cannot be logged to MLflow: {error}; leave out --tracking") from error
        if first and self.close_on_complete:
            atexit.register(self._end_unfinished)

    def complete(self) -> None:
        """Log the files of the record once more, with the log."""
        try:
            super().complete()
        except _exception() as error:
            logger.warning("MLflow did not take the files of the run: %s", error)

    def close(self) -> None:
        """End the run as finished."""
        super().close()
        atexit.unregister(self._end_unfinished)

    def _log_files(self, folder: Path) -> None:
        """Log config and command already now, because an interrupted run does not come to its end."""
        run: Any = self.cur_run
        for name in (CONFIG, FACTS):
            if (folder / name).is_file():
                self.client.log_artifact(run.info.run_id, str(folder / name))

    def _log_params(self, params: dict[str, Any]) -> None:
        new = dict(params)
        self._delete_exist_param_in_dict(
            new
        )  # of a run that goes on under its run_name; MLflow refuses other values
        pairs = [(name, str(value)[:_LONGEST]) for name, value in new.items()]
        for begin in range(0, len(pairs), _MOST):
            super()._log_params(dict(pairs[begin : begin + _MOST]))

    def _log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if is_scalar(value)}
        try:
            super()._log_metrics(values, step)
        except _exception() as error:
            if not self.failed:
                logger.warning("MLflow does not take values of step %s and maybe of later ones: %s", step, error)
            self.failed = True

    def _end_unfinished(self) -> None:
        """Mark a run that did not come to its end; a server that is gone is not an error any more."""
        if self.cur_run is not None:
            try:
                self.client.set_terminated(self.cur_run.info.run_id, _KILLED)
            except _exception() as error:
                logger.warning("MLflow still shows the run as running: %s", error)


def run_parameters(folder: Path) -> dict[str, Any]:
    """Return command, commit, versions and the plain values at the top of the config, from a record's files.

    Args:
        folder: the folder that `RunRecord` wrote.
    """
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    versions: Mapping[str, str] = facts["versions"]
    found: dict[str, Any] = {"command": facts["command"], "commit": facts["commit"], "record": str(folder)}
    found |= {f"version.{name}": version for name, version in versions.items()}
    if (folder / CONFIG).is_file():
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        found |= {name: value for name, value in config.items() if _is_plain(value)}
    return found


def _is_plain(value: Any) -> bool:
    """Return whether a setting is a number, word, path, null or a list of them; no component or expression."""
    if isinstance(value, list):
        return all(_is_plain(entry) for entry in value)
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return value is None or isinstance(value, (bool, int, float))


def _exception() -> tuple[type[Exception], ...]:
    """Return what MLflow raises; it is an optional package, which MONAI's module imports."""
    return mlflow_handler.MlflowException, OSError
