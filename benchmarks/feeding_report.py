"""The result of feeding.py as markdown, and the ratios that documents quote."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any


def table(result: dict[str, Any]) -> str:
    """Return the result as markdown."""
    columns = [
        "step cpu",
        "cold step cpu",
        "item of 1 cpu",
        "item of 4 cpu",
        "cold item of 1 wall",
        "cold item of 4 wall",
    ]
    lines = [f"| variant | {' | '.join(columns)} | build | MB |", "|---|" + "---:|" * (len(columns) + 2)]
    for name, found in result["variants"].items():
        cells = [f"{median(found['rounds'][c]):.1f}" if c in found["rounds"] else "" for c in columns]
        disk = (
            [f"{median(found['build_cpu_seconds']):.2f}", f"{found['bytes'] / 1e6:.1f}"]
            if "bytes" in found
            else ["", ""]
        )
        lines.append(f"| {name} | {' | '.join([*cells, *disk])} |")
    facts, load = result["machine"], result["load"]
    busy = "Other programs ran beside it. " if max(load) > 1.5 else ""
    reading = median(result["reading_cpu_seconds"])
    head = (
        f"{facts['cpu']}, {facts['threads']} thread, torch {facts['torch']}, monai {facts['monai']}; commit"
        f" {result['commit'][:8]}, {result['date'][:10]}; medians of {result['rounds']} interleaved rounds."
        f" {busy}Load {min(load):.1f} to {max(load):.1f}. One reading: {reading:.2f} s."
    )
    ratios = [
        f"- {text}: {median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        for text, values in claims(result).items()
    ]
    missing = [f"- Not measured: {', '.join(result['not_measured'])}"] if result["not_measured"] else []
    return "\n".join([head, "", *lines, "", *ratios, *missing, ""])


def claims(result: dict[str, Any]) -> dict[str, list[float]]:
    """Return the ratios that documents quote, one for each round, or for each volume where it is built.

    The model: the volumes do not fit into memory, so a step reads from the disk. With cache_rate 0.25, three of
    four volumes are read and prepared again; a store reads only the crops.
    """
    rounds = {name: found["rounds"] for name, found in result["variants"].items()}
    cold, warm = rounds["store npy"]["cold step cpu"], rounds["store npy"]["step cpu"]

    def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
        return [one / other for one, other in zip(numerators, denominators, strict=True)]

    return {
        "CPU of a step, cold store / a quarter cached": ratios(cold, rounds["quarter cached"]["step cpu"]),
        "CPU of a step, cold store / everything cached": ratios(cold, rounds["cached"]["step cpu"]),
        "CPU of a step, cold store / everything cached and copied": ratios(
            cold, rounds["cached and copied"]["step cpu"]
        ),
        "CPU of a step, warm store / everything cached": ratios(warm, rounds["cached"]["step cpu"]),
        "CPU of building the store / one reading": ratios(
            result["variants"]["store npy"]["build_cpu_seconds"], result["reading_cpu_seconds"]
        ),
    }
