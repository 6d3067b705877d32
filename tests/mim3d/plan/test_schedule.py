"""Length, rates and cache of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from mim3d.catalog import METHODS
from mim3d.plan import schedule
from mim3d.plan.cost import Cost
from mim3d.plan.decisions import PRETRAIN, SEGMENT
from mim3d.plan.measured import Step
from mim3d.plan.schedule import decide_cache, decide_contrast, decide_length, decide_rates, length, readable_time

STEP = Step("file.json", "full", "cpu", "C, 2 threads", "basic_unet", {}, (96, 96, 96), 1, 1.0, 1.0, False)


def taken(seconds: float | None) -> Cost:
    return Cost(0.0, 1.0, seconds, STEP, True)


@pytest.mark.parametrize(
    ("volumes", "batch", "samples", "drop_last", "small", "steps", "per_epoch", "epochs"),
    [
        (1000, 2, 2, True, False, 50_000, 500, 100),
        (1001, 2, 2, True, False, 50_000, 500, 100),
        (1001, 2, 2, False, False, 50_100, 501, 100),
        (10, 2, 2, True, False, 5_000, 5, 1000),  # at most 1,000 epochs
        (1_000_000, 2, 2, True, False, 500_000, 500_000, 1),  # at least one
        (10, 2, 2, True, True, 500, 5, 100),
    ],
)
def test_a_training_sees_about_so_many_crops(
    volumes: int, batch: int, samples: int, drop_last: bool, small: bool, steps: int, per_epoch: int, epochs: int
) -> None:
    found = length(volumes, batch, samples, drop_last, taken(0.5), small)
    assert found == (steps, per_epoch, epochs, steps * batch * samples * 0.5)


def test_time_is_told_with_its_source_or_as_not_measured() -> None:
    def reason(seconds: float | None) -> str:
        planned = length(1000, 2, 2, True, taken(seconds), False)
        return decide_length(planned, taken(seconds), False, PRETRAIN)[0].reason

    assert "Time: about 2 days on C, 2 threads, estimated from benchmarks/results/file.json, full" in reason(1.0)
    assert reason(None).endswith("Time on a GPU: not measured.")


def test_validations_are_spread_over_the_epochs_and_never_rarer_than_the_end() -> None:
    planned = length(1000, 2, 2, True, taken(None), False)
    for layer, key in ((PRETRAIN, "@epochs"), (SEGMENT, "@train#trainer#max_epochs")):
        made = {decision.key: decision.value for decision in decide_length(planned, taken(None), False, layer)}
        assert made == {"epochs": 100, "val_interval": f"$min(2, {key})"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 seconds"), (100, "100 seconds"), (600, "10 minutes"), (7200, "2 hours"), (200_000, "2 days")],
)
def test_times_are_in_the_largest_unit_that_is_whole(seconds: float, text: str) -> None:
    assert readable_time(seconds) == text


def test_rates_are_those_of_the_shipped_configs() -> None:
    def rates(method: str, network: str, small: bool, given: set[str] = frozenset()) -> dict[Any, Any]:  # type: ignore
        made = decide_rates(METHODS[method], network, small, True, set(given))
        return {(d.key, d.layers[0]): d.value for d in made if d.key == "learning_rate"}

    both = {("learning_rate", "pretrain"): 1e-4, ("learning_rate", "segment"): 3e-4}
    assert rates("hybridmim", "basic_unet", False) == both
    small = {("learning_rate", "pretrain"): 1e-3, ("learning_rate", "segment"): 1e-2}
    assert rates("hybridmim", "basic_unet", True) == small
    assert rates("mae", "unetr", True)["learning_rate", "segment"] == 1e-3
    # the network's layer brings its own rate
    assert ("learning_rate", "pretrain") not in rates("hybridmim", "swin_unetr", False, {"learning_rate"})


def test_the_small_form_takes_the_rest_of_the_smoke_layer() -> None:
    made = {d.key for d in decide_rates(METHODS["mae"], "unetr", True, True, {"block_size"})}
    assert {"decoder_width", "decoder_heads", "warmup_share", "num_workers", "sw_batch_size"} <= made
    assert not {"epochs", "roi_size", "spacing", "holdout", "block_size", "cache_rate"} & made


def test_half_of_the_free_memory_is_for_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nib.save(nib.Nifti1Image(np.zeros((10, 10, 10), np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    items = [{"image": str(tmp_path / "a.nii.gz")}] * 10  # 50,000 bytes at 1 mm
    for free, rate in ((1_000_000, 1.0), (50_000, 0.5), (30_000, 0.3), (1_000, 0.0)):
        monkeypatch.setattr(schedule, "free_memory", lambda free=free: free)
        assert decide_cache(items, ["image"], [1.0, 1.0, 1.0], PRETRAIN).value == rate


def test_one_volume_has_no_contrast() -> None:
    assert decide_contrast(METHODS["hybridmim"], 2) == []
    assert decide_contrast(METHODS["mae"], 1) == []
    (made,) = decide_contrast(METHODS["hybridmim"], 1)
    assert (made.value["contrast"], made.value["reconstruction"]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="SimCLR contrasts volumes; there is one to train on"):
        decide_contrast(METHODS["simclr"], 1)
