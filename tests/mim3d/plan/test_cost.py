"""What a step takes, estimated from measured ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mim3d.catalog import METHODS
from mim3d.plan.cost import BYTES_PER_CLASS, BYTES_PER_WEIGHT, cost, work
from mim3d.plan.measured import RESULTS, measured_step

CONVOLUTIONS = {
    "_target_": "BasicUNet",
    "_mode_": "callable",
    "in_channels": "$len(@channels)",
    "out_channels": "$len(@output_names)",
    "features": [4, 4, 8, 8, 16, 4],
}


def test_the_step_of_the_shipped_network_is_the_measured_one() -> None:
    found = cost(METHODS["hybridmim"], "basic_unet", 1, 1, (96, 96, 96), small=False, device="cpu")
    measured = json.loads((RESULTS / found.step.file).read_text(encoding="utf-8"))
    variant = measured["variants"]["full"]
    assert not found.estimated
    assert found.seconds_per_crop == pytest.approx(variant["seconds"]["step"])
    assert found.per_crop == pytest.approx(variant["peak_mib"] * 2**20)
    assert found.fixed == pytest.approx(BYTES_PER_WEIGHT * 22_985_985)  # parameters of the catalog: 23.0 M
    assert found.memory(3) - found.memory(1) == pytest.approx(2 * found.per_crop)


def test_half_the_crop_costs_an_eighth_and_a_narrow_network_less() -> None:
    args = (METHODS["hybridmim"], "basic_unet", 1, 1)
    whole, half = (cost(*args, (side,) * 3, False, "cpu") for side in (96, 48))
    assert half.per_crop / whole.per_crop == pytest.approx(1 / 8, rel=1e-3)
    assert whole.seconds_per_crop is not None
    assert half.seconds_per_crop == pytest.approx(whole.seconds_per_crop / 8, rel=1e-3)
    narrow = cost(*args, (96,) * 3, True, "cpu")
    assert narrow.estimated
    assert narrow.per_crop < whole.per_crop / 3


def test_classes_take_memory_in_a_segmentation() -> None:
    two, many = (cost(None, "basic_unet", 1, n, (32, 32, 32), True, "cpu") for n in (2, 102))
    layer = 100 * 32**3  # outputs of the last convolution
    per_output = two.step.peak_bytes / two.step.crops / 1.13e9
    assert many.per_crop - two.per_crop == pytest.approx(
        100 * 32**3 * BYTES_PER_CLASS + layer * per_output, rel=0.02
    )


def test_time_on_a_gpu_is_unknown_without_a_file() -> None:
    if measured_step("hybridmim", "basic_unet", "cuda") is None:
        found = cost(METHODS["hybridmim"], "basic_unet", 1, 1, (32, 32, 32), True, "cuda")
        assert found.seconds_per_crop is None
        assert found.estimated


def test_outputs_and_operations_are_counted_as_by_hand() -> None:
    a, b = (work(CONVOLUTIONS, 1, n, (32, 16, 16)) for n in (1, 3))
    voxels = 32 * 16 * 16
    assert b.outputs - a.outputs == 2 * voxels
    assert b.operations - a.operations == 2 * 2 * 4 * voxels  # the 1³ convolution from 4 features
    assert b.weights - a.weights == 2 * (4 + 1)
    assert (a.stride, a.token) == (16, 1)


def _result(folder: Path, name: str, network: str, device: str, batch: int, variant: str) -> None:
    content: dict[str, Any] = {
        "arguments": {"network": network, "device": device, "batch": batch, "size": [32, 32, 32]},
        "machine": {"cpu": "C", "threads": 2},
        "variants": {variant: {"seconds": {"step": 2.0}, "peak_mib": 10}},
    }
    content["arguments"] |= {"features": [4], "hidden": 24, "mlp": 48, "heads": 2}
    (folder / name).write_text(json.dumps(content))


def test_the_nearest_measured_step_is_found(tmp_path: Path) -> None:
    assert measured_step("hybridmim", "basic_unet", "cpu", tmp_path) is None
    _result(tmp_path, "pretrain_step_a.json", "basic_unet", "cpu", 1, "full")
    _result(tmp_path, "mim_step_a.json", "unetr", "cpu", 1, "mae-0.75")
    _result(tmp_path, "mim_step_b.json", "unetr", "cpu", 4, "mae-0.75")
    _result(tmp_path, "pretrain_step_gpu.json", "basic_unet", "cuda:0", 2, "full")

    def found(method: str | None, network: str, device: str) -> tuple[str, bool]:
        step = measured_step(method, network, device, tmp_path)
        assert step is not None
        return step.file, step.same

    assert found("mae", "unetr", "cpu") == ("mim_step_b.json", True)
    assert found("hybridmim", "basic_unet", "cpu") == ("pretrain_step_a.json", True)
    assert found("hybridmim", "basic_unet", "cuda") == ("pretrain_step_gpu.json", True)
    assert found("simclr", "unetr", "cpu") == ("pretrain_step_a.json", False)
    assert found(None, "basic_unet", "cpu") == ("pretrain_step_a.json", False)
    assert found("mae", "unetr", "cuda") == ("pretrain_step_gpu.json", False)
