"""Checks: does a run's schedule keep weights, and by which metric?"""

from __future__ import annotations

from collections.abc import Sequence

from custom_components.metrics import PROBE_METRICS, key_metrics
from custom_components.number_checks import check_number


class Schedule:
    """At least one validation must run, because validation saves the weights.

    Args:
        epochs: length of the run.
        val_interval: epochs between validations.
    """

    def __init__(self, epochs: int, val_interval: int) -> None:
        self.epochs, self.val_interval = epochs, val_interval

    def __call__(self) -> None:
        """Raise ValueError naming both numbers."""
        check_number(self.epochs, "epochs", at_least=1, whole=True)
        check_number(self.val_interval, "val_interval", at_least=1, whole=True)
        if self.val_interval > self.epochs:
            raise ValueError(
                f"val_interval is {self.val_interval} and epochs is {self.epochs}: no validation would run and no"
                f" weights would be saved; set --val_interval to at most {self.epochs}"
            )


class KeyMetric:
    """The metric that selects the best weights must be measured, and must be able to tell weights apart.

    Args:
        key_metric: with the prefix ``val_``.
        validation_metrics: what a validation measures, without the prefix.
        probe: whether validations have the dense probe, whose scores can then be chosen.
    """

    def __init__(self, key_metric: str, validation_metrics: Sequence[str], probe: bool = False) -> None:
        self.key_metric, self.validation_metrics, self.probe = key_metric, validation_metrics, probe

    def __call__(self) -> None:
        """Raise ValueError listing what can be chosen."""
        if self.probe and self.key_metric in PROBE_METRICS:
            return
        if set(self.validation_metrics) == {"loss"}:
            raise ValueError(
                "contrast is the only loss term: validation has no second view, so it could not tell good weights"
                " from bad; give another term a weight above 0, or choose a score of the dense probe as key_metric"
            )
        allowed = key_metrics(self.validation_metrics) + list(PROBE_METRICS) * self.probe
        if self.key_metric not in allowed:
            raise ValueError(
                f"key_metric is {self.key_metric!r}; allowed with these loss terms: {', '.join(allowed)}"
            )
