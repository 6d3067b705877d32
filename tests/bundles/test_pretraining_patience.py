"""A pretraining ends early where its key metric stands still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundles.commands import scalars

pytestmark = pytest.mark.slow
Load = Callable[[Path], dict[str, Any]]
Run = Callable[..., ConfigWorkflow]


def test_patience_ends_a_run_whose_key_metric_stands_still(pretrain: Run, tmp_path: Path, load: Load) -> None:
    keys = {"key_metric": "val_count_accuracy", "learning_rate": 1.0e-12, "patience": 2, "probe_interval": None}
    pretrain("hybridmim", tmp_path / "run", epochs=9, **keys)
    resume = load(tmp_path / "run" / "resume.pt")
    assert resume["trainer"]["epoch"] == 3
    assert (resume["best"]["best_epoch"], resume["best"]["mode"]) == (1, "max")
    assert not {"val_probe_dice", "val_probe_accuracy"} & set(scalars(tmp_path / "run"))
