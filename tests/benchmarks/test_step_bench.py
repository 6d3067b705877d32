"""What the benchmarks of a step have in common, tried on each of them."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("name", ["pretrain_step", "mim_step"])


def test_parts_add_up_to_the_step(measured_benchmark, name):
    missing = []
    for variant in measured_benchmark(name).result["variants"].values():
        parts = set(variant["seconds"]) - {"step", "processor"}
        assert {"encoder", "backward", "optimizer"} < parts
        missing += [raw["step"] - sum(raw.get(part, 0.0) for part in parts) for raw in variant["raw"]]
    assert min(missing) > -1e-3  # rounding
    assert median(missing) < 2e-3  # a busy machine may take the processor away between two parts


def test_result_says_machine_commit_date_and_arguments(measured_benchmark, tiny, name):
    result, folder, _ = measured_benchmark(name)
    assert {"cpu", "cores", "threads", "torch", "monai"} <= set(result["machine"])
    assert {"commit", "date", "not_measured", "step_time_ratios"} <= set(result)
    assert result["benchmark"] == name
    at = tiny[name].index("--size")
    assert result["arguments"]["size"] == [int(side) for side in tiny[name][at + 1 : at + 4]]
    assert str(folder) not in (folder / "result.json").read_text(), "a path of this machine is in the result"
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "table.md"]


def test_table_is_the_one_that_show_makes_from_the_file(measured_benchmark, load_script, capsys, name):
    result, folder, printed = measured_benchmark(name)
    load_script(name).main(["--show", str(folder / "result.json")])
    assert capsys.readouterr().out == printed
    assert (folder / "table.md").read_text().strip() == printed.strip()
    assert all(f"| {variant} |" in printed for variant in result["variants"])


def test_a_result_of_another_benchmark_is_not_shown(load_script, tmp_path, name):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"benchmark": "other_step"}))
    with pytest.raises(SystemExit, match=f"other.json belongs to benchmark other_step; allowed: {name}"):
        load_script(name).main(["--show", str(path)])


def test_the_first_step_of_the_process_is_not_the_one_whose_memory_is_watched(load_script, tiny, name):
    script, steps = load_script(name), load_script("step_bench")
    args = script.parse([*tiny[name], "--device", "cpu"])
    args.variants = args.variants[:2]
    bench, ran = script.Bench(args), []
    take, watch = bench.step, bench.watched_step
    bench.step = lambda name, turn: (ran.append(name), take(name, turn))[1]
    bench.watched_step = lambda name, turn: (ran.append("watched"), watch(name, turn))[1]
    first, second = args.variants
    assert list(steps.warm_up(bench)) == [first, second]
    assert ran == [first, "watched", first, "watched", second]


def test_a_variant_that_cannot_run_is_named_and_the_others_are_measured(
    load_script, tiny, monkeypatch, tmp_path, name
):
    script, out = load_script(name), tmp_path / "result.json"
    first, second = script.parse(["--device", "cpu"]).variants[:2]
    inputs = script.Bench.inputs

    def fail(bench: Any, variant: str) -> Any:
        if variant == first:
            raise RuntimeError("no compiler\nmore of it")
        return inputs(bench, variant)

    monkeypatch.setattr(script.Bench, "inputs", fail)
    variants = ["--variants", first, second, "--repeats", "1"]
    script.main([*tiny[name], *variants, "--device", "cpu", "--out", str(out)])
    result = json.loads(out.read_text())
    assert list(result["variants"]) == [second]
    assert result["failed"] == {first: "no compiler"}
    with pytest.raises(SystemExit, match="no variant can run; the first failed with: no compiler"):
        script.main([*tiny[name], "--variants", first, "--device", "cpu", "--out", str(tmp_path / "none.json")])


def test_variants_of_one_network_share_weights_and_moments(load_script, tiny, name):
    args = load_script(name).parse([*tiny[name], "--device", "cpu"])
    bench = load_script(name).Bench(args)
    assert len({id(pretext.network) for pretext in bench.pretexts.values()}) == 1
    assert len({id(optimizer) for optimizer in bench.optimizers.values()}) == 1


def test_results_are_named_after_device_network_and_batch(load_script, name):
    args = load_script(name).parse(["--device", "cpu", "--batch", "2"])
    assert args.out.parent.name == "results"
    assert args.out.name.startswith(f"{name}_cpu_{args.network}_batch2")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--repeats", "0"], "at least 1"),
        (["--size", "50"], "multiples of "),
        (["--size", "32", "32"], "or three"),
    ],
)
def test_wrong_arguments_end_in_one_line(load_script, capsys, name, arguments, named):
    with pytest.raises(SystemExit) as raised:
        load_script(name).parse(arguments)
    assert raised.value.code != 0
    assert named in capsys.readouterr().err.splitlines()[-1]
