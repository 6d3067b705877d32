"""What a run's schedule must leave behind, and what a resume file must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from custom_components.checks.schedule import check_key_metric, check_resume, check_schedule
from custom_components.metrics.pretext import validation_names
from custom_components.pretext import HybridMIM
from custom_components.transfer.checks import check_weights_complete


def test_a_run_that_never_validates_is_refused() -> None:
    check_schedule(10, 10)
    with pytest.raises(ValueError, match="val_interval is 10 and epochs 3"):
        check_schedule(3, 10)
    with pytest.raises(ValueError, match="whole numbers from 1"):
        check_schedule(0, 1)


def test_key_metric_must_be_one_that_these_parts_measure() -> None:
    check_key_metric("val_masked_mae", validation_names(["reconstruction", "contrast"]))
    check_key_metric("val_count_accuracy", validation_names(["consistency"]))
    check_key_metric("val_contrast", validation_names(["contrast"], views=True))
    with pytest.raises(ValueError, match="'val_los'.*val_loss"):
        check_key_metric("val_los", validation_names(["reconstruction"]))
    with pytest.raises(ValueError, match="val_position"):
        check_key_metric("val_position", validation_names(["reconstruction"]))
    with pytest.raises(ValueError, match="contrast is the only loss part"):
        check_key_metric("val_loss", validation_names(["contrast"]))


def test_resume_is_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    with pytest.raises(ValueError, match="does not exist"):
        check_resume(path, ["network"], 5)
    torch.save({"network": {}, "trainer": {"epoch": 3, "iteration": 6, "epoch_length": 2}}, path)
    check_resume(path, ["network"], 4)
    with pytest.raises(ValueError, match="is at epoch 3 and epochs is 3"):
        check_resume(path, ["network"], 3)
    with pytest.raises(ValueError, match="optimizer"):
        check_resume(path, ["network", "optimizer"], 4)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="resume.pt"):
        check_resume(path, ["network"], 4)


def test_evaluated_weights_must_hold_the_whole_network(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 3).state_dict(), path)
    check_weights_complete(nn.Linear(2, 3), str(path))
    with pytest.raises(ValueError, match="do not fit this Linear: 2 tensors.*weight"):
        check_weights_complete(nn.Linear(3, 4), str(path))


def test_evaluated_pretext_weights_must_hold_the_heads_of_the_same_parts(tmp_path: Path, make_network) -> None:
    def pretext(*terms: str) -> HybridMIM:
        return HybridMIM(make_network("BasicUNet"), 8, 16, terms)

    path, full = tmp_path / "pretext.pt", pretext("reconstruction", "count", "contrast")
    torch.save(full.state_dict(), path)
    check_weights_complete(full, str(path), pretext=True)
    for other in (pretext("reconstruction"), pretext("reconstruction", "count", "position", "contrast")):
        with pytest.raises(ValueError, match="layers and loss parts the same"):
            check_weights_complete(other, str(path), pretext=True)
    torch.save(full.network.state_dict(), path)
    with pytest.raises(ValueError, match="do not fit"):
        check_weights_complete(full, str(path), pretext=True)
