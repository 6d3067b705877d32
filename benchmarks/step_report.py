"""Medians, shares and ratios of a benchmark's rounds, and a table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Runs = Mapping[str, Sequence[Mapping[str, float]]]
Pairs = Mapping[str, tuple[str, str]]


def describe_variants(
    runs: Runs, texts: dict[str, str], peak: dict[str, float], parts: Sequence[str], batch: int
) -> dict[str, Any]:
    """Return medians and shares of each variant, and its raw rounds."""
    variants = {}
    for name, steps in runs.items():
        seconds = {key: median(step.get(key, 0.0) for step in steps) for key in ("step", "processor", *parts)}
        variants[name] = {
            "text": texts[name],
            "seconds": {key: round(value, 4) for key, value in seconds.items()},
            "share": {part: round(median(s.get(part, 0.0) / s["step"] for s in steps), 4) for part in parts},
            "samples_per_second": round(batch / seconds["step"], 4),
            "peak_mib": round(peak[name]),
            "raw": [{key: round(value, 5) for key, value in step.items()} for step in steps],
        }
    return variants


def time_ratio(runs: Runs, top: str, bottom: str) -> float | None:
    """Return the median over rounds of the ratio of step times within a round; None if one is not measured."""
    if top not in runs or bottom not in runs:
        return None
    return round(median(a["step"] / b["step"] for a, b in zip(runs[top], runs[bottom], strict=True)), 3)


def time_ratios(runs: Runs, pairs: Pairs) -> dict[str, float]:
    """Return the ratios of pairs that were both measured."""
    return {text: value for text, pair in pairs.items() if (value := time_ratio(runs, *pair)) is not None}


def peak_ratios(peak: Mapping[str, float], pairs: Pairs) -> dict[str, float]:
    """Return the ratios of peak memory, without pairs in which a peak was too small to be seen."""
    both = {text: (peak.get(top, 0.0), peak.get(bottom, 0.0)) for text, (top, bottom) in pairs.items()}
    return {text: round(top / bottom, 3) for text, (top, bottom) in both.items() if min(top, bottom) > 0}


def table(result: dict[str, Any], title: str, facts: Sequence[str] = ()) -> str:
    """Return the result as a markdown section, for a README or the screen.

    Args:
        result: what was measured.
        title: network and sizes.
        facts: further lines beside the times and their ratios.
    """
    a, m = result["arguments"], result["machine"]
    memory = "allocated" if a["device"] == "cuda" else "RSS, sampled"
    commit = result["commit"][:8] + "+changes" * result["commit"].endswith("+changes")
    parts = [key for key in next(iter(result["variants"].values()))["seconds"] if key not in ("step", "processor")]
    lines = [
        f"### {title}, batch {a['batch']}, {a['device']}" + (", checkpointed" if a.get("checkpoint") else ""),
        "",
        f"{m.get('gpu', m['cpu'])}, {m['threads']} threads{', huge pages' * m['huge_pages']}, "
        f"torch {m['torch']}, monai {m['monai']}; commit {commit}, {result['date'][:10]}; medians of "
        f"{result['rounds']} interleaved rounds; seconds; processor: CPU-seconds of the process, all threads, "
        f"which other programs disturb less than the clock. Peak: MiB above the step's start ({memory}).",
        "",
        f"| variant | step | {' | '.join(parts)} | processor | samples/s | peak |",
        "|---|" + "---:|" * (len(parts) + 4),
    ]
    for name, v in result["variants"].items():
        seconds = " | ".join(f"{v['seconds'][part]:.3f}" for part in parts)
        lines.append(
            f"| {name} | {v['seconds']['step']:.3f} | {seconds} | {v['seconds']['processor']:.3f} "
            f"| {v['samples_per_second']:.3f} | {v['peak_mib']} |"
        )
    lines += ["", *(f"- {name}: {v['text']}" for name, v in result["variants"].items()), ""]
    lines += [f"- {fact}" for fact in facts]
    lines += [f"- Step time, {text}: {value:.3f}" for text, value in result["step_time_ratios"].items()]
    lines += [f"- Peak memory, {text}: {value:.3f}" for text, value in result.get("peak_ratios", {}).items()]
    lines += [f"- Failed, {name}: {why}" for name, why in result["failed"].items()]
    return "\n".join([*lines, f"- Not measured: {', '.join(result['not_measured']) or 'nothing'}", ""])


def cross(size: Sequence[int]) -> str:
    """Write sides as ``96 × 96 × 96``."""
    return " × ".join(map(str, size))
