from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

NAME = "pretrain_step"
CPU_VARIANTS = [
    "window",
    "window-nograd",
    "window-nocontrast",
    "full",
    "released",
    "released-full",
    "window-bf16",
    "full-bf16",
    "full-padded",
    "full-bf16-padded",
]


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script(NAME)


@pytest.fixture
def result(measured_benchmark: Callable[[str], Any]) -> dict[str, Any]:
    return measured_benchmark(NAME).result


def test_every_cpu_variant_is_measured_in_every_round(result):
    assert list(result["variants"]) == CPU_VARIANTS
    assert result["rounds"] == 2
    assert all(len(variant["raw"]) == 2 for variant in result["variants"].values())


def test_the_ratios_say_what_each_change_gives(result):
    """From the released code's step: shared stages, no padding by nothing, a decoded window, bfloat16."""
    step = {name: [raw["step"] for raw in v["raw"]] for name, v in result["variants"].items()}
    for text, top, bottom in (
        ("full, padded by nothing / full as released", "full-padded", "released-full"),
        ("full, without padding by nothing", "full", "full-padded"),
        ("window / full", "window", "full"),
        ("bfloat16 / fp32", "window-bf16", "window"),
        ("window / full as released", "window", "released-full"),
        ("bfloat16 window / full as released", "window-bf16", "released-full"),
    ):
        ratio = sum(a / b for a, b in zip(step[top], step[bottom], strict=True)) / 2  # the median of two rounds
        assert result["step_time_ratios"][text] == pytest.approx(ratio, abs=2e-3)


def test_only_variants_with_contrast_spend_time_on_a_second_view(result):
    seconds = {name: v["seconds"]["second view"] for name, v in result["variants"].items()}
    assert seconds.pop("window-nocontrast") == 0
    assert all(value > 0 for value in seconds.values())


def test_the_second_view_is_stated_by_its_forward_pass_and_with_its_backward(result):
    stated = result["second_view_share_of_step"]
    assert list(stated) == ["window", "window-nograd", "released"]
    assert all(list(shares) == ["second pass, forward", "with its backward"] for shares in stated.values())


def test_variants_of_one_round_compute_the_same_objective(result):
    # Same seed, weights and batch; dropout masks differ where stages are drawn again, so only nearly.
    losses = {name: v["raw"][0]["loss"] for name, v in result["variants"].items()}
    assert losses["released"] == pytest.approx(losses["window-nograd"], rel=0.1)
    assert losses["released-full"] == pytest.approx(losses["full"], rel=0.1)


def test_released_execution_runs_the_whole_encoder_twice_and_ours_does_not(script, tiny, monkeypatch):
    args = script.parse([*tiny[NAME], "--device", "cpu", "--variants", "window", "released"])
    bench, ran = script.Bench(args), []
    for name in args.variants:
        backbone = bench.pretexts[name].backbone
        run_stage = backbone.run_stage
        record = lambda stage, x, run_stage=run_stage: (ran.append(stage), run_stage(stage, x))[1]  # noqa: E731
        monkeypatch.setattr(backbone, "run_stage", record)
        bench.step(name, 0)
    stages = ["conv_0", "down_1", "down_2", "down_3", "down_4"]
    assert ran == [*stages, *stages[2:], *stages, *stages]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "50"], "multiples of 32"),
        (["--size", "32", "--window", "64"], "larger than --size"),
        (["--features", "4", "4"], "takes 6"),
        (["--variants", "window", "window-one-call"], "of SwinUNETR alone"),
    ],
)
def test_wrong_arguments_end_in_one_line(script, capsys, arguments, named):
    with pytest.raises(SystemExit) as raised:
        script.parse(arguments)
    assert raised.value.code != 0
    assert named in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_swin_unetr_with_checkpointing_runs(run_benchmark, tmp_path):
    tiny = ("--features", 12, "--size", 64, 32, 32, "--window", 64, 32, 32, "--repeats", 1, "--threads", 1)
    variants = ("--variants", "window", "released", "window-kept-masks", "nograd-one-call")
    network = ("--network", "swin_unetr", "--checkpoint")
    done = run_benchmark(NAME, *network, *tiny, *variants, "--out", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["arguments"]["checkpoint"] is True
