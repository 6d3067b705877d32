"""Numbers of measurements in documents are those of their result files, and a result is of the split it says."""

from __future__ import annotations

from statistics import median
from typing import Any

from custom_components.data import datalist_hash
from tests.benchmarks.results import ROOT, pages, read


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
    readme = pages()
    seconds = {name: f"{v['seconds']['step']:.2f} s" for name, v in result["variants"].items()}
    assert f"| {seconds['mae-0.75']}, {1 / ratios[2]:.1f} times faster than SimMIM |" in readme
    assert f"| {seconds['simmim-0.75']} |" in readme
    text = " ".join((ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").split())
    for values in (ratios, peaks):
        *first, last = (f"{value:.2f}" for value in values)
        assert f"{', '.join(first)} and {last} of" in text


def test_the_shares_of_the_released_step_are_those_of_their_result_file() -> None:
    ratios = read("pretrain_step_cpu_basic_unet_hugepages.json")["step_time_ratios"]
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    table = text.partition("| what changes | share of the time |\n|---|---|\n")[2].partition("\n\n")[0]
    names = ["full, padded by nothing", "full", "bfloat16 full", "window", "bfloat16 window"]
    expected = [f"{ratios[f'{name} / full as released']:.2f}" for name in names]
    assert [line.split(" | ")[1].removesuffix(" |") for line in table.splitlines()] == expected


def test_the_shares_of_the_released_codes_step_are_those_of_their_result_file() -> None:
    ratios = read("released_step_cpu_basic_unet_batch2.json")["step_time_ratios"]
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    head = "| our step | released code | share of its time |\n|---|---|---|\n"
    table = text.partition(head)[2].partition("\n\n")[0]
    names = ("window", "window-nograd", "full", "released")
    whole = {"full": ", everything decoded"}
    expected = [f"{ratios[f'{name} / released code{whole.get(name, str())}']:.2f} |" for name in names]
    assert [line.split(" | ")[2] for line in table.splitlines()] == expected


def test_the_shares_of_swin_unetrs_step_are_those_of_their_result_file() -> None:
    ratios = read("pretrain_step_cpu_swin_unetr_attention.json")["step_time_ratios"]
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    table = text.partition("| what changes | share of the step's time |\n|---|---|\n")[2].partition("\n\n")[0]
    both = "with kept shift masks and attention in one call"
    expected = [
        ratios["window, with kept shift masks"],
        ratios[f"window, {both}"],
        ratios[f"window-nograd, {both}"],
    ]
    assert [line.split(" | ")[1] for line in table.splitlines()] == [f"{ratio:.2f} |" for ratio in expected]


def test_the_hippocampus_result_is_of_its_split() -> None:
    result, split = read("seg_msd_hippocampus.json"), read("seg_msd_hippocampus_split.json")
    sections = [split[name] for name in ("training", "validation", "test")]
    assert [len(ids) for ids in sections] == [40, 20, 40]
    assert len({name for ids in sections for name in ids}) == 100
    assert result["section"] == "test"
    assert result["datalist_hash"] == datalist_hash(items(split["test"]))
    assert result["weights"]["card"]["datalist_hash"] == datalist_hash(items(split["training"]))
    assert result["seed"] == split["seed"] == 0


def test_the_speed_of_a_store_is_that_of_its_result_file(load_script: Any) -> None:
    result = read("feeding_cpu.json")
    found = {name: median(values) for name, values in load_script("feeding_report").claims(result).items()}
    quarter, cached, copied, _, build = found.values()
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"{quarter:.3f} of that of a set with `cache_rate: 0.25`" in text
    assert f"{copied:.2f} of that of MONAI's `CacheDataset`" in text
    assert f"{cached:.1f} times that of `cache: ram`" in text
    sizes = [
        result["variants"][name]["bytes"] / 1e6 for name in ("store npy", "store blosc2", "PersistentDataset")
    ]
    npy, blosc2, persistent = (f"{size:.1f} MB" for size in sizes)
    assert (
        f"A volume took {npy} (`npy`) or {blosc2} (`blosc2`); MONAI's `PersistentDataset` took {persistent}"
        in text
    )
    assert f"Building a store took {build:.2f} times" in text
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert "All three are reached." in readme
    assert quarter <= 1 / 50
    assert copied <= 0.6
    assert build <= 1.3


def test_the_cost_of_inference_is_that_of_its_result_file() -> None:
    found = read("inference_cpu.json")["variants"]
    seconds = {name: one["cpu_seconds"]["total"] for name, one in found.items()}
    peak = {name: one["mib_after"]["write"] for name, one in found.items()}
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    usual, float64 = (
        [f"{value['shipped'] / value[other]:.2f}" for value in (seconds, peak)] for other in ("usual", "float64")
    )
    assert f"took {usual[0]} of the processor's time and {usual[1]} of the peak memory" in text
    assert f"({peak['shipped']:.0f} in place of {peak['usual']:.0f} MiB)" in text
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    new, old = (f"{seconds[name]:.1f} s and {peak[name]:.0f} MiB" for name in ("shipped", "usual"))
    assert f"took {new}, against {old} in the form" in changes
    assert float64[0] == float64[1]
    assert f"it took {float64[0]} of both" in text
