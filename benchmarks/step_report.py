"""What the rounds of pretrain_step.py come to: medians, shares, ratios, and a table of them."""

from __future__ import annotations

from statistics import median
from typing import Any

PARTS = ("encoder", "second view", "decoder", "heads and losses", "backward", "optimizer")


def summarise(
    runs: dict[str, list[dict[str, float]]], texts: dict[str, str], peak: dict[str, float], batch: int
) -> dict[str, Any]:
    """Medians, shares and ratios; ratios are medians over rounds of the ratio within a round."""

    def ratio(top: str, bottom: str) -> float | None:
        if top not in runs or bottom not in runs:
            return None
        return round(median(a["step"] / b["step"] for a, b in zip(runs[top], runs[bottom], strict=True)), 3)

    variants = {}
    for name, steps in runs.items():
        seconds = {key: median(step.get(key, 0.0) for step in steps) for key in ("step", "processor", *PARTS)}
        variants[name] = {
            "text": texts[name],
            "seconds": {key: round(value, 4) for key, value in seconds.items()},
            "share": {part: round(median(s.get(part, 0.0) / s["step"] for s in steps), 4) for part in PARTS},
            "samples_per_second": round(batch / seconds["step"], 4),
            "peak_mib": round(peak[name]),
            "raw": [{key: round(value, 5) for key, value in step.items()} for step in steps],
        }
    pairs = {
        "window / full": ("window", "full"),
        "window / full, as released": ("released", "released-full"),
        "window / full as released": ("window", "released-full"),
        "window / released": ("window", "released"),
        "bfloat16 / fp32": ("window-bf16", "window"),
    }
    second = {
        name: {"second pass, forward": variants[name]["share"]["second view"]}
        | ({} if (bare := ratio("window-nocontrast", name)) is None else {"with its backward": round(1 - bare, 3)})
        for name in ("window", "window-nograd", "released")
        if name in runs
    }
    ratios = {text: value for text, pair in pairs.items() if (value := ratio(*pair)) is not None}
    return {"variants": variants, "second_view_share_of_step": second, "step_time_ratios": ratios}


def table(result: dict[str, Any]) -> str:
    """Return the result as a markdown section, for a README or the screen."""
    a, m = result["arguments"], result["machine"]
    memory = "allocated" if a["device"] == "cuda" else "RSS, sampled"
    commit = result["commit"][:8] + "+changes" * result["commit"].endswith("+changes")
    lines = [
        f"### {a['network']} {'-'.join(map(str, a['features']))}, crop {_sides(a['size'])}, "
        f"window {_sides(a['window'])}, batch {a['batch']}, {a['device']}"
        + (", checkpointed" if a.get("checkpoint") else ""),
        "",
        f"{m.get('gpu', m['cpu'])}, {m['threads']} threads{', huge pages' * m['huge_pages']}, "
        f"torch {m['torch']}, monai {m['monai']}; commit {commit}, {result['date'][:10]}; medians of "
        f"{result['rounds']} interleaved rounds; seconds; processor: CPU-seconds of the process, all threads, "
        f"less hurt than the clock by what else runs. Peak: MiB above the step's start ({memory}).",
        "",
        f"| variant | step | {' | '.join(PARTS)} | processor | samples/s | peak |",
        "|---|" + "---:|" * (len(PARTS) + 4),
    ]
    for name, v in result["variants"].items():
        parts = " | ".join(f"{v['seconds'][part]:.3f}" for part in PARTS)
        lines.append(
            f"| {name} | {v['seconds']['step']:.3f} | {parts} | {v['seconds']['processor']:.3f} "
            f"| {v['samples_per_second']:.3f} | {v['peak_mib']} |"
        )
    lines += ["", *(f"- {name}: {v['text']}" for name, v in result["variants"].items()), ""]
    for name, shares in result["second_view_share_of_step"].items():
        text = "; ".join(f"{what} {100 * share:.1f} %" for what, share in shares.items())
        lines.append(f"- Share of the step, {name}: {text}")
    lines += [f"- Step time, {text}: {value:.3f}" for text, value in result["step_time_ratios"].items()]
    lines += [f"- Failed, {name}: {why}" for name, why in result["failed"].items()]
    return "\n".join([*lines, f"- Not measured: {', '.join(result['not_measured']) or 'nothing'}", ""])


def _sides(size: list[int]) -> str:
    return " × ".join(map(str, size))
