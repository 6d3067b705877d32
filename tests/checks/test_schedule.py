"""What a run's schedule must leave behind, and what a resume file must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from custom_components.checks import KeyMetric, Resume, Schedule
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
    with pytest.raises(ValueError, match="val_negatives"):
        KeyMetric("val_negatives", validation_names(["contrast"], views=True))()


def test_a_resume_file_is_checked_before_anything_is_loaded(network, tmp_path: Path) -> None:
    assert Resume(None, ["network"], 5)() is None
    path = tmp_path / "resume.pt"
    with pytest.raises(ValueError, match="does not exist"):
        Resume(str(path), ["network"], 5)()
    content = {"network": network().state_dict(), "trainer": {"epoch": 3, "iteration": 6, "epoch_length": 2}}
    torch.save(content, path)
    assert Resume(str(path), ["network"], 4, network())() == "continues after epoch 3"
    with pytest.raises(ValueError, match="is at epoch 3 and epochs is 3; ask for more"):
        Resume(str(path), ["network"], 3)()
    with pytest.raises(ValueError, match="optimizer"):
        Resume(str(path), ["network", "optimizer"], 4)()
    with pytest.raises(ValueError, match=r"resume.pt does not fit this BasicUNet: \d+ tensors"):
        Resume(str(path), ["network"], 4, network(width=8))()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="resume.pt"):
        Resume(str(path), ["network"], 4)()
