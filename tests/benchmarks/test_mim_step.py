from __future__ import annotations

from collections.abc import Callable
from statistics import median
from types import ModuleType
from typing import Any

import pytest
import torch

NAME = "mim_step"
FP32 = ["mae-0.25", "mae-0.5", "mae-0.75", "mae-0.9", "mae-0.75-deep", "simmim-0.75"]
VISIBLE = {"mae-0.25": 9, "mae-0.5": 6, "mae-0.75": 3, "mae-0.9": 1, "mae-0.75-deep": 3}  # of the tiny form's 12


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script(NAME)


@pytest.fixture
def make_bench(script: ModuleType, tiny: dict[str, list[str]]) -> Callable[..., Any]:
    """The tiny form with these variants, and where asked other arguments behind it."""

    def make(*variants: str, more: str = "") -> Any:
        return script.Bench(script.parse([*tiny[NAME], "--device", "cpu", "--variants", *variants, *more.split()]))

    return make


@pytest.fixture
def result(measured_benchmark: Callable[[str], Any]) -> dict[str, Any]:
    return measured_benchmark(NAME).result


def test_every_fp32_variant_is_measured_in_every_round_and_bfloat16_is_named_as_not(result):
    assert list(result["variants"]) == FP32
    assert all(len(variant["raw"]) == 2 for variant in result["variants"].values())
    assert result["not_measured"] == [f"{name}-bf16" for name in FP32]


def test_each_mae_is_compared_with_simmim_and_with_the_lowest_ratio(result):
    stated = result["step_time_ratios"]
    wanted = {f"MAE {ratio} / SimMIM 0.75" for ratio in (0.25, 0.5, 0.75, 0.9)}
    wanted |= {f"MAE {ratio} / MAE 0.25" for ratio in (0.5, 0.75, 0.9)}
    assert wanted < set(stated)
    mae, simmim = (result["variants"][name]["raw"] for name in ("mae-0.75", "simmim-0.75"))
    by_hand = median(a["step"] / b["step"] for a, b in zip(mae, simmim, strict=True))
    assert stated["MAE 0.75 / SimMIM 0.75"] == pytest.approx(by_hand, abs=0.01)
    assert set(result["peak_ratios"]) <= set(stated)


def test_peak_ratios_leave_out_what_was_too_small_to_be_seen(load_script):
    pairs = {"a / b": ("a", "b"), "b / c": ("b", "c"), "a / d": ("a", "d")}
    assert load_script("step_report").peak_ratios({"a": 30.0, "b": 20.0, "c": 0.0}, pairs) == {"a / b": 1.5}


def test_mae_encodes_what_its_ratio_leaves_and_simmim_everything(make_bench):
    bench, seen = make_bench(*FP32), []
    bench.network.vit.blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0].shape[1]))
    for name in FP32:
        bench.step(name, 0)
    assert dict(zip(FP32, seen, strict=True)) == {**VISIBLE, "simmim-0.75": 12}


def test_texts_say_what_is_encoded_and_what_reconstructs(result):
    texts = {name: variant["text"] for name, variant in result["variants"].items()}
    assert all(f"MAE, {visible} of 12 tokens encoded" in texts[name] for name, visible in VISIBLE.items())
    assert "decoder of 1 × 24, 2 heads" in texts["mae-0.75"]
    assert "decoder of 2 × 16, 2 heads" in texts["mae-0.75-deep"]
    assert "all 12 tokens encoded, 9 of them mask tokens" in texts["simmim-0.75"]


def test_the_decoders_are_those_asked_for(make_bench):
    bench = make_bench("mae-0.25", "mae-0.75", "mae-0.75-deep")
    assert bench.pretexts["mae-0.25"] is bench.pretexts["mae-0.75"]
    light, deep = (bench.pretexts[name].decoder for name in ("mae-0.75", "mae-0.75-deep"))
    assert [len(decoder.blocks) for decoder in (light, deep)] == [1, 2]
    assert [decoder.embed.out_features for decoder in (light, deep)] == [24, 16]


def test_bfloat16_is_of_the_forward_pass_and_only_where_named(make_bench):
    bench, kinds = make_bench("simmim-0.75", "simmim-0.75-bf16"), []
    head = bench.pretexts["simmim-0.75"].head
    head.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    for name in ("simmim-0.75", "simmim-0.75-bf16"):
        bench.step(name, 0)
    assert kinds == [torch.float32, torch.bfloat16]
    assert bench.text("simmim-0.75-bf16").endswith(", bfloat16 autocast")


def test_tokens_of_8_voxels_in_larger_patches_and_a_batch(make_bench):
    bench = make_bench("mae-0.75", "simmim-0.75", more="--network unetr_patch8 --size 32 --batch 2")
    assert "16 of 64 tokens encoded" in bench.text("mae-0.75")
    assert all(bench.step(name, 0)["loss"] > 0 for name in ("mae-0.75", "simmim-0.75"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--patch", "24"], "--patch 24 is not a multiple of unetr's token"),
        (["--size", "40"], "multiples of 16"),
        (["--heads", "7"], "--hidden a multiple of --heads"),
        (["--deep", "8", "512", "7"], "WIDTH a multiple of HEADS"),
    ],
)
def test_wrong_arguments_end_in_one_line(script, capsys, arguments, named):
    with pytest.raises(SystemExit) as raised:
        script.parse(arguments)
    assert raised.value.code != 0
    assert named in capsys.readouterr().err.splitlines()[-1]
