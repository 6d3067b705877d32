"""Check: can the dense probe run, and on which cases?"""

from __future__ import annotations

from custom_components.checks.labels import describe_values
from custom_components.checks.volumes import check_label
from custom_components.data import DataList, probe_cases
from custom_components.data.names import Item
from custom_components.metrics import PROBE_METRICS
from custom_components.number_checks import check_number


class Probe:
    """The probe must fit the validations, and its labels must be label maps on the grids of their images.

    Args:
        data_list: the list.
        interval: epochs between probes; None: no probe, and nothing is checked.
        val_interval: epochs between validations.
        volumes: largest number of cases that the probe is fitted on, and of those that it is scored on.
        key_metric: the metric that selects the best weights.
    """

    def __init__(
        self, data_list: DataList, interval: int | None, val_interval: int, volumes: int, key_metric: str
    ) -> None:
        self.data_list, self.interval, self.val_interval = data_list, interval, val_interval
        self.volumes, self.key_metric = volumes, key_metric

    def __call__(self) -> str | None:
        """Return the numbers of cases and the label values; raise ValueError naming the key or the file."""
        if self.interval is None:
            return None
        chosen = self.key_metric in PROBE_METRICS
        self._check_interval(self.interval, chosen)
        training, validation = probe_cases(self.data_list, self.volumes)
        if not (training and validation):
            found = f"{len(training)} labelled training and {len(validation)} labelled validation cases"
            if chosen:
                raise ValueError(
                    f"key_metric is {self.key_metric!r} and {self.data_list.source} has {found}; allowed: at least"
                    " one of each, or another key_metric"
                )
            return f"off, because the list has {found}"
        try:
            values = sorted({value for item in [*training, *validation] for value in _label_values(item)})
        except ValueError as error:
            raise ValueError(f"{error}; correct the file, or set probe_interval to null") from None
        return (
            f"fitted on {len(training)} labelled cases, scored on {len(validation)},"
            f" label values {describe_values(values)}"
        )

    def _check_interval(self, interval: int, chosen: bool) -> None:
        check_number(interval, "probe_interval", at_least=1, whole=True, optional=True)
        validations = self.val_interval
        if interval % validations or (chosen and interval != validations):
            allowed = f"null, or a multiple of val_interval ({validations})"
            if chosen:
                allowed = f"val_interval ({validations}), because every validation needs {self.key_metric}"
            raise ValueError(f"probe_interval is {interval}; allowed: {allowed}")


def _label_values(item: Item) -> list[int]:
    """Return the values of a label file, after checking that it is a label map on its image's grid."""
    return [int(value) for value in check_label(item, allowed=None)]
