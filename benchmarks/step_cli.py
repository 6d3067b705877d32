"""The command line that the benchmarks of a step share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import huge_pages

from custom_components.atomic import write_text
from custom_components.masking import to_3tuple

RESULTS = Path(__file__).resolve().parent / "results"


def step_parser(
    text: str | None, benchmark: str, networks: Sequence[str], variants: Sequence[str]
) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark of a step; the first network is the default."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(benchmark=benchmark)
    add = parser.add_argument
    add("--network", choices=list(networks), default=networks[0])
    add("--variants", nargs="+", choices=list(variants), metavar="NAME", help=f"out of {', '.join(variants)}")
    add("--size", type=int, nargs="+", default=[96], help="voxels of the crop, one number or three")
    add("--batch", type=int, default=1, help="at 1 a contrast is computed but has no negatives")
    add("--repeats", type=int, default=3, help="rounds after the warm-up")
    add("--threads", type=int, help="of torch (default: torch's own choice)")
    add("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    add(
        "--out",
        type=Path,
        help=f"result file (default: results/{benchmark}_<device>_<network>[_batchN][_hugepages].json)",
    )
    add("--table", type=Path, help="also write the table, as markdown")
    add("--show", type=Path, nargs="+", help="measure nothing; print the tables of these result files")
    return parser


def settle(parser: argparse.ArgumentParser, args: argparse.Namespace, defaults: Mapping[str, list[str]]) -> None:
    """Check the options of `step_parser` and fill in defaults; a wrong value ends the program with one line."""
    if args.batch < 1 or args.repeats < 1:
        parser.error(f"--batch {args.batch} and --repeats {args.repeats} must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    args.variants = list(dict.fromkeys(args.variants or defaults[args.device]))
    suffix = f"_batch{args.batch}" * (args.batch > 1) + "_hugepages" * (args.device == "cpu" and huge_pages())
    args.out = args.out or RESULTS / f"{args.benchmark}_{args.device}_{args.network}{suffix}.json"


def sides(parser: argparse.ArgumentParser, key: str, given: Sequence[int], multiple: int) -> tuple[int, int, int]:
    """Return the three sides of a cuboid given by one number or three; a wrong value ends the program."""
    if len(given) not in (1, 3) or any(side <= 0 or side % multiple for side in given):
        parser.error(f"--{key} takes one number or three, multiples of {multiple}, found {given}")
    return to_3tuple(given if len(given) == 3 else given[0], key)


def run(
    args: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Measure and write a result, or show result files.

    Raises:
        SystemExit: if a file to show belongs to another benchmark.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    shown = {path: json.loads(path.read_text(encoding="utf-8")) for path in args.show or ()}
    for path, result in shown.items():
        if result.get("benchmark") != args.benchmark:
            raise SystemExit(f"{path} belongs to benchmark {result.get('benchmark')}; allowed: {args.benchmark}")
    text = "\n".join(map(table, shown.values() if shown else [measure(args)]))
    print(text)
    if args.table:
        write_text(args.table, text)
