"""A loss that is not finite ends the run and names the files of its batch."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from custom_components.engine.batch_files import batch_files
from custom_components.faults import Fault
from custom_components.handlers import FiniteLoss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_run_ends_at_the_step_with_the_names_of_its_files(value: float) -> None:
    batches = [{"files": [f"/d/{k}.nii.gz", f"/d/{k}.nii.gz", "/d/x.nii"]} for k in range(3)]
    losses = iter([1.0, value, 2.0])
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(next(losses), requires_grad=True)})
    FiniteLoss().attach(engine)
    with pytest.raises(Fault, match=rf"iteration 2: the loss is {value}, on crops of /d/1.nii.gz, /d/x.nii;"):
        engine.run(batches)
    assert next(losses) == 2.0


def test_files_of_several_channels_are_all_named() -> None:
    assert batch_files({"files": [("a", "b"), ("c", "b")]}) == "a, b, c"
    assert batch_files({"image": 1}) == batch_files(None) == "unnamed files"
