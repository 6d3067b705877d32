"""Numbers in documents are those of result files, and a result file's split is the one it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from custom_components.data import datalist_hash

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def items(ids: list[str]) -> list[dict[str, str]]:
    return [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in ids]


def row(name: str, scores: dict[str, Any]) -> str:
    dice = f"{scores['dice_mean']:.3f} ± {scores['dice_sd']:.3f}"
    distance = f"{scores['hd95_mm_mean']:.2f} ± {scores['hd95_mm_sd']:.2f}"
    return f"| {name} | {dice} | {distance} | {scores['cases']} |"


def test_the_hippocampus_table_is_that_of_its_result_file() -> None:
    result = read("seg_msd_hippocampus.json")
    readme = (ROOT / "bundles/seg_msd_hippocampus/docs/README.md").read_text(encoding="utf-8")
    for name, scores in [*result["classes"].items(), ("mean of both", result["all"])]:
        assert row(name, scores) in readme


def test_the_costs_of_mae_and_simmim_are_those_of_their_result_file() -> None:
    result = read("mim_step_cpu_unetr_batch4_hugepages.json")
    ratios = [result["step_time_ratios"][f"MAE {ratio} / SimMIM 0.75"] for ratio in (0.25, 0.5, 0.75, 0.9)]
    peaks = [result["peak_ratios"][f"MAE {ratio} / SimMIM 0.75"] for ratio in (0.25, 0.5, 0.75, 0.9)]
    assert ratios == sorted(ratios, reverse=True)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    seconds = {name: f"{v['seconds']['step']:.2f} s" for name, v in result["variants"].items()}
    assert f"| {seconds['mae-0.75']}, {1 / ratios[2]:.1f} times faster than SimMIM |" in readme
    assert f"| {seconds['simmim-0.75']} |" in readme
    text = " ".join((ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").split())
    for values in (ratios, peaks):
        *first, last = (f"{value:.2f}" for value in values)
        assert f"{', '.join(first)} and {last} of" in text


def quick_start(result: dict[str, Any]) -> str:
    """A row of the table of quick starts."""
    dice = [result["scores"][run]["all"] for run in ("scratch", "finetuned")]
    told = [f"{scores['dice_mean']:.3f} ± {scores['dice_sd']:.3f}" for scores in dice]
    score = next(name for name in ("val_masked_mae", "val_contrast") if name in result["pretext"])
    pretext = f"{score.removeprefix('val_')} {result['pretext'][score]:.3f}"
    steps = f"{result['steps']['pretrain']} + {result['steps']['scratch']}"
    names = result["data"], result["method"], result["backbone"]
    return f"| {' | '.join([*names, steps, pretext, *told])} |"


def test_the_table_of_quick_starts_is_that_of_their_result_files() -> None:
    files = sorted(path.name for path in RESULTS.glob("quickstart_*.json"))
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name in files:
        result = read(name)
        assert result["steps"]["scratch"] == result["steps"]["finetuned"]
        assert name == f"quickstart_{result['data']}_{result['method']}.json"
        assert quick_start(result) in text, name
    assert text.count("| phantoms | ") + text.count("| hippocampus | ") == len(files) >= 7


def test_what_the_text_says_about_the_quick_starts_is_true() -> None:
    level = {
        ("phantoms", "hybridmim"),
        ("phantoms", "mae"),
        ("phantoms", "simmim"),
        ("phantoms", "simclr"),
        ("hippocampus", "simmim"),
    }
    for path in RESULTS.glob("quickstart_*.json"):
        result = read(path.name)
        scratch, tuned = (result["scores"][run]["all"]["dice_mean"] for run in ("scratch", "finetuned"))
        if (result["data"], result["method"]) in level:
            assert 0 <= round(tuned - scratch, 3) <= 0.006
        else:
            assert tuned < scratch - 0.006


def test_quick_starts_on_the_same_data_and_network_share_their_scratch_run() -> None:
    for data, network, steps in (("phantoms", "unetr", 240), ("hippocampus", "unetr_patch8", 480)):
        results = [read(f"quickstart_{data}_{name}.json") for name in ("mae", "simmim", "simclr")]
        assert {(each["backbone"], each["steps"]["scratch"]) for each in results} == {(network, steps)}
        assert len({each["scores"]["scratch"]["all"]["dice_mean"] for each in results}) == 1
        assert len({each["datalist_hash"] for each in results}) == 1


def test_the_hippocampus_result_is_of_its_split() -> None:
    result, split = read("seg_msd_hippocampus.json"), read("seg_msd_hippocampus_split.json")
    sections = [split[name] for name in ("training", "validation", "test")]
    assert [len(ids) for ids in sections] == [40, 20, 40]
    assert len({name for ids in sections for name in ids}) == 100
    assert result["section"] == "test"
    assert result["datalist_hash"] == datalist_hash(items(split["test"]))
    assert result["weights"]["card"]["datalist_hash"] == datalist_hash(items(split["training"]))
    assert result["seed"] == split["seed"] == 0
