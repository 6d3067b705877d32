"""What a run's schedule must leave behind."""

from __future__ import annotations

import pytest

from custom_components.checks import KeyMetric, Schedule
from custom_components.metrics import validation_names


def test_a_run_that_never_validates_is_refused() -> None:
    Schedule(10, 10)()
    with pytest.raises(ValueError, match="val_interval is 10 and epochs is 3: .* set --val_interval to at most 3"):
        Schedule(3, 10)()
    with pytest.raises(ValueError, match="epochs is 0; allowed: a whole number at least 1"):
        Schedule(0, 1)()


def test_key_metric_must_be_one_that_these_terms_measure() -> None:
    KeyMetric("val_masked_mae", validation_names(["reconstruction", "contrast"]))()
    KeyMetric("val_count_accuracy", validation_names(["consistency"]))()
    KeyMetric("val_contrast", validation_names(["contrast"], views=True))()
    with pytest.raises(ValueError, match="'val_los'; allowed with these loss terms: val_loss"):
        KeyMetric("val_los", validation_names(["reconstruction"]))()
    with pytest.raises(ValueError, match="val_position"):
        KeyMetric("val_position", validation_names(["reconstruction"]))()
    with pytest.raises(ValueError, match="contrast is the only loss term"):
        KeyMetric("val_loss", validation_names(["contrast"]))()
    KeyMetric("val_explained_mae_gaussian_fill", validation_names(["reconstruction"]))()
    KeyMetric("val_probe_dice", validation_names(["contrast"]), probe=True)()
    with pytest.raises(ValueError, match="'val_probe_dice'; allowed"):
        KeyMetric("val_probe_dice", validation_names(["reconstruction"]))()
    with pytest.raises(ValueError, match="'val_mean_fill_mae'; allowed .*, val_probe_dice, val_probe_accuracy"):
        KeyMetric("val_mean_fill_mae", validation_names(["reconstruction"]), probe=True)()
    with pytest.raises(ValueError, match="val_negatives"):
        KeyMetric("val_negatives", validation_names(["contrast"], views=True))()
