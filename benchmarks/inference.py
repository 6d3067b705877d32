"""Inference of a CT, in MONAI's usual form and as shipped: seconds by part, and peak memory; see README.md.

It writes a synthetic CT (512 x 512 x 200 voxels) to a temporary folder, and segments it with inference.yaml of
seg_btcv and a network of one layer. Each segmentation has a process of its own; variants take turns.

    python benchmarks/inference.py
    python benchmarks/inference.py --show benchmarks/results/inference_cpu.json
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import median
from typing import Any

import torch
from feeding_data import write_phantom
from inference_case import PARTS, VARIANTS, prepare_process, segment
from measuring import commit, machine
from step_cli import RESULTS

from custom_components.atomic import write_text

#: What is compared: numerator and denominator.
PAIRS = {"shipped / float64": ("shipped", "float64"), "shipped / usual": ("shipped", "usual")}
Round = Mapping[str, Mapping[str, float]]


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, so that its memory is its own; return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=prepare_process) as pool:
        return pool.submit(function, *arguments).result()


def total(run: Round, kind: str) -> float:
    """Return the seconds of all parts, of the processor (``cpu``) or the clock (``wall``)."""
    return sum(run[part][kind] for part in PARTS)


def peak(run: Round) -> float:
    """Return the highest memory of a process, in MiB."""
    return run[PARTS[-1]]["mib"]


def measure(rounds: int, shape: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Segment one phantom in every variant, in each round in another order."""
    measured = commit()  # now, because the repository may change meanwhile
    runs: dict[str, list[Round]] = {name: [] for name in names}
    load, failed = [os.getloadavg()[0]], {}
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "ct.nii.gz"
        in_new_process(write_phantom, image, 0, tuple(shape))  # a child's memory counter begins with its parent's
        for number in range(rounds):
            turn = number % len(names)
            for name in (one for one in [*names[turn:], *names[:turn]] if one not in failed):
                print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
                try:
                    runs[name].append(in_new_process(segment, name, image, Path(folder) / name))
                except BrokenProcessPool:
                    failed[name] = "its process was ended, probably for lack of memory"
            load.append(os.getloadavg()[0])
    done = {name: found for name, found in runs.items() if name not in failed}
    return {
        "benchmark": "inference",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": measured,
        "machine": machine(torch.device("cpu")) | {"threads": 1},
        "load": load,
        "shape": list(shape),
        "rounds": rounds,
        "failed": failed,
        "variants": {name: describe(name, found) for name, found in done.items()},
        "ratios": {text: ratios(done[a], done[b]) for text, (a, b) in PAIRS.items() if {a, b} <= done.keys()},
    }


def describe(name: str, runs: Sequence[Round]) -> dict[str, Any]:
    """Return the medians of a variant's rounds, and the rounds."""
    seconds = {part: median(run[part]["cpu"] for run in runs) for part in PARTS}
    return {
        "text": VARIANTS[name],
        "cpu_seconds": seconds | {"total": median(total(run, "cpu") for run in runs)},
        "wall_seconds": median(total(run, "wall") for run in runs),
        "mib_after": {part: max(run[part]["mib"] for run in runs) for part in ("start", *PARTS)},
        "raw": runs,
    }


def ratios(top: Sequence[Round], bottom: Sequence[Round]) -> dict[str, float]:
    """Return medians of the ratios within a round."""
    pairs = list(zip(top, bottom, strict=True))
    return {
        "time": median(total(a, "cpu") / total(b, "cpu") for a, b in pairs),
        "postprocess": median(a["postprocess"]["cpu"] / b["postprocess"]["cpu"] for a, b in pairs),
        "peak memory": median(peak(a) / peak(b) for a, b in pairs),
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as markdown."""
    facts, load = result["machine"], result["load"]
    busy = "Other programs ran beside it: compare times within this table only. " if max(load) > 1.5 else ""
    measured = result["commit"][:8] + "+changes" * result["commit"].endswith("+changes")
    head = (
        f"One CT of {' x '.join(map(str, result['shape']))} voxels. {facts['cpu']}, {facts['threads']} thread,"
        f" torch {facts['torch']}, monai {facts['monai']}; commit {measured}, {result['date'][:10]}; medians of"
        f" {result['rounds']} interleaved rounds. {busy}Load {min(load):.1f} to {max(load):.1f}."
        " Parts and total: seconds of the processor. Memory: the highest of the process so far (RSS), MiB."
    )
    columns = [*PARTS, "total", "clock", "memory at the start", *(f"after {part}" for part in PARTS[1:4]), "peak"]
    lines = [f"| variant | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, found in result["variants"].items():
        seconds = [*found["cpu_seconds"].values(), found["wall_seconds"]]
        memory = [found["mib_after"][part] for part in ("start", *PARTS[1:4], PARTS[4])]
        cells = [*(f"{value:.1f}" for value in seconds), *(f"{value:.0f}" for value in memory)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    texts = [f"- {name}: {found['text']}" for name, found in result["variants"].items()]
    compared = [
        f"- {text}: {', '.join(f'{what} {value:.2f}' for what, value in values.items())}"
        for text, values in result["ratios"].items()
    ]
    failed = [f"- {name} failed: {why}" for name, why in result["failed"].items()]
    return "\n".join([head, "", *lines, "", *texts, "", *compared, *failed, ""])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200], help="voxels of the CT")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=RESULTS / "inference_cpu.json", help="result file")
    parser.add_argument("--show", type=Path, help="measure nothing; print the table of this result file")
    args = parser.parse_args(argv)
    if args.show:
        print(table(json.loads(args.show.read_text(encoding="utf-8"))))
        return
    if args.rounds < 1 or min(args.shape) < 16:
        parser.error(f"--rounds {args.rounds} must be at least 1, and --shape {args.shape} at least 16 each")
    result = measure(args.rounds, args.shape, list(dict.fromkeys(args.variants)))
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    write_text(args.out.with_suffix(".md"), table(result))
    print(table(result))


if __name__ == "__main__":
    main()
