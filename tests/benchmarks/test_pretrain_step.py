from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "pretrain_step.py"
PARTS = ("encoder", "second view", "decoder", "heads and losses", "backward", "optimizer")
CPU_VARIANTS = [
    "window",
    "window-nograd",
    "window-nocontrast",
    "full",
    "released",
    "released-full",
    "window-bf16",
]

TINY = ["--features", "4", "4", "8", "8", "16", "4", "--size", "64", "32", "32", "--window", "32"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, for what needs no process of its own."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("pretrain_step")


def run(*args: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), "--device", "cpu", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, str]:
    """One tiny run of all CPU variants: its result, the folder it wrote to, what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    done = run(
        *TINY, "--repeats", 2, "--threads", 1, "--out", folder / "result.json", "--table", folder / "table.md"
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "result.json").read_text()), folder, done.stdout


def test_every_cpu_variant_is_measured_in_every_round(measured):
    result, _, _ = measured
    assert list(result["variants"]) == CPU_VARIANTS
    assert result["rounds"] == 2
    assert all(len(variant["raw"]) == 2 for variant in result["variants"].values())


def test_parts_add_up_to_the_step(measured):
    for variant in measured[0]["variants"].values():
        for raw in variant["raw"]:
            assert sum(raw.get(part, 0.0) for part in PARTS) == pytest.approx(raw["step"], rel=0.02, abs=2e-3)


def test_only_variants_with_contrast_spend_time_on_a_second_view(measured):
    seconds = {name: v["seconds"]["second view"] for name, v in measured[0]["variants"].items()}
    assert seconds.pop("window-nocontrast") == 0
    assert all(value > 0 for value in seconds.values())


def test_variants_of_one_round_compute_the_same_objective(measured):
    # Same seed, weights and batch; dropout masks differ where stages are drawn again, so only nearly.
    losses = {name: v["raw"][0]["loss"] for name, v in measured[0]["variants"].items()}
    assert losses["released"] == pytest.approx(losses["window-nograd"], rel=0.1)
    assert losses["released-full"] == pytest.approx(losses["full"], rel=0.1)


def test_result_says_machine_commit_date_and_arguments(measured):
    result, folder, _ = measured
    assert {"cpu", "cores", "threads", "torch", "monai"} <= set(result["machine"])
    assert {"commit", "date", "not_measured", "step_time_ratios"} <= set(result)
    assert result["arguments"]["size"] == [64, 32, 32]
    assert str(folder) not in (folder / "result.json").read_text(), "a path of this machine is in the result"
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "table.md"]


def test_table_is_the_one_that_show_makes_from_the_file(measured, script, capsys):
    _, folder, printed = measured
    script.main(["--show", str(folder / "result.json")])
    assert capsys.readouterr().out == printed
    assert (folder / "table.md").read_text().strip() == printed.strip()
    assert all(f"| {name} |" in printed for name in CPU_VARIANTS)


def test_released_execution_runs_the_whole_encoder_twice_and_ours_does_not(script, monkeypatch):
    args = script.parse([*TINY, "--device", "cpu", "--variants", "window", "released"])
    bench, ran = script.Bench(args), []
    for name in args.variants:
        backbone = bench.pretexts[name].backbone
        run_stage = backbone.run_stage
        record = lambda stage, x, run_stage=run_stage: (ran.append(stage), run_stage(stage, x))[1]  # noqa: E731
        monkeypatch.setattr(backbone, "run_stage", record)
        bench.step(name, 0)
    stages = ["conv_0", "down_1", "down_2", "down_3", "down_4"]
    assert ran == [*stages, *stages[2:], *stages, *stages]


def test_a_variant_that_cannot_run_is_named_and_the_others_are_measured(script, monkeypatch, tmp_path):
    def fail(*_: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(script, "whole_second_pass", fail)
    out = tmp_path / "result.json"
    variants = ["--variants", "released", "window", "--repeats", "1"]
    script.main([*TINY, *variants, "--device", "cpu", "--out", str(out)])
    result = json.loads(out.read_text())
    assert list(result["variants"]) == ["window"]
    assert result["failed"] == {"released": "no compiler"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--size", "50"], "multiples of 32"),
        (["--size", "32", "--window", "64"], "larger than --size"),
        (["--features", "4", "4"], "takes 6"),
        (["--repeats", "0"], "at least 1"),
    ],
)
def test_wrong_arguments_end_in_one_line(script, capsys, arguments, named):
    with pytest.raises(SystemExit) as raised:
        script.parse(arguments)
    assert raised.value.code != 0
    assert named in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_swin_unetr_with_checkpointing_runs(tmp_path):
    tiny = ("--features", 12, "--size", 64, 32, 32, "--window", 64, 32, 32, "--repeats", 1, "--threads", 1)
    variants = ("--variants", "window", "released")
    done = run("--network", "swin_unetr", "--checkpoint", *tiny, *variants, "--out", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["arguments"]["checkpoint"] is True
