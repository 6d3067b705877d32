"""The quick start's report: one HTML page with tables and pictures, from the files the steps left."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import torch

from custom_components.atomic import write_json
from custom_components.data.sections import read_sections
from mim3d.catalog import Choice
from mim3d.quickstart.report_pictures import RUNS, draw_curves, draw_overlay

NOT_SEGMENTED = (
    "Not done: this volume is one file per channel, and inference.yaml reads one file per volume. Join them "
    "into one 4D file to segment it; the scores above do not depend on this step."
)
PAINTED = (
    "A validation volume under its fixed mask. Only hidden voxels are trained; where the image was visible the "
    "reconstruction means nothing."
)
SECTIONS = ("unlabelled", "training", "validation", "test")
#: A prediction of background alone scores 0 on every class that the label has; below this nothing was learned.
LEARNED = 0.01
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(path.read_text())


def number(value: float | None, digits: int = 3) -> str:
    """A table cell; what was not measured says so."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def dice_table(scores: dict[str, Any]) -> str:
    """Dice and HD95 per class, of both runs."""
    rows = []
    for name in scores["scratch"]["classes"]:
        both = [scores[run]["classes"][name] for run in RUNS]
        rows.append([name, *(number(s["dice_mean"]) for s in both), *(number(s["hd95_mm_mean"], 1) for s in both)])
    both = [scores[run]["all"] for run in RUNS]
    mean = [f"{number(s['dice_mean'])} ± {number(s['dice_sd'])}" for s in both]
    rows.append(["mean over cases", *mean, *(number(s["hd95_mm_mean"], 1) for s in both)])
    return table(["class", "Dice, scratch", "Dice, pretrained", "HD95 mm, scratch", "HD95 mm, pretrained"], rows)


def verdict(scores: dict[str, Any]) -> str:
    """What came out, whichever way."""
    scratch, tuned = (scores[run]["all"]["dice_mean"] for run in RUNS)
    if scratch is None or tuned is None:
        told = "the two cannot be compared"
    elif f"{abs(tuned - scratch):.3f}" == "0.000":
        told = "equal to three digits"
    else:
        told = f"{abs(tuned - scratch):.3f} {'higher' if tuned > scratch else 'lower'}"
    return (
        f"Mean Dice of fine-tuning from the pretrained weights: {number(tuned)}; of training from scratch: "
        f"{number(scratch)}: {told}. One seed and a small budget: this shows that the path works, and says little "
        "about how much pretraining helps."
    )


def steps_run(out: Path) -> dict[str, int]:
    """Optimizer steps that each run made, from its resume point; the smoke layers step at every iteration."""
    points = {name: out / name / "resume.pt" for name in ("pretrain", *RUNS)}
    read_points = {k: torch.load(path, map_location="cpu", weights_only=True) for k, path in points.items()}
    return {name: int(point["trainer"]["iteration"]) for name, point in read_points.items()}


def idle_runs(scores: dict[str, Any]) -> list[str]:
    """The runs that learned nothing; one whose Dice was not measured counts."""
    return [run for run in RUNS if (scores[run]["all"]["dice_mean"] or 0) < LEARNED]


def count_cases(dataset_dir: Path) -> dict[str, int]:
    """Cases of the data list, by section."""
    sections, _ = read_sections(dataset_dir)
    return {section: len(sections.get(section, [])) for section in SECTIONS}


def of_pretraining(out: Path, metrics: dict[str, float]) -> str:
    """The pretext scores, under a picture where the method paints one."""
    scores = table(["pretext score", "value"], [[k, number(v, 4)] for k, v in metrics.items()])
    if not (out / "pretrain" / "reconstruction.png").is_file():
        return f"<h2>Pretraining</h2>\n{scores}"
    picture = "<img src='pretrain/reconstruction.png' alt='reconstruction'>"
    return f"<h2>What pretraining paints</h2>\n<p>{PAINTED}</p>{picture}\n{scores}"


def of_segmentation(out: Path, dataset_dir: Path, case: dict[str, Any]) -> str:
    """The picture of the segmented volume; where it was not segmented, why."""
    if not isinstance(case["image"], str):
        return f"<p>{html.escape(NOT_SEGMENTED)}</p>"
    prediction = next((out / "segmentation").glob("*_seg.nii.gz"))
    draw_overlay(out, dataset_dir / case["image"], dataset_dir / case["label"], prediction)
    told = html.escape(str(prediction.relative_to(out)))
    return f"<img src='overlay.png' alt='label and prediction'><p>{told}</p>"


def write_report(
    out: Path,
    name: str,
    dataset_dir: Path,
    case: dict[str, Any],
    seed: int,
    seconds: dict[str, float],
    choice: Choice,
) -> Path:
    """Draw the pictures and write ``report.html``, and its numbers as ``report.json``.

    Args:
        out: where the steps left their files.
        name: of the data.
        dataset_dir: folder that the paths of the list are relative to.
        case: the item that was segmented; not segmented, and said so, where its image is several files.
        seed: of all runs.
        seconds: by step.
        choice: the method of pretraining, and the network.

    Raises:
        SystemExit: when a run learned nothing; the report is written all the same.
    """
    scores = {run: read(out / run / "summary.json") for run in RUNS}
    transfer, pretext = read(out / "finetuned" / "transfer.json"), read(out / "pretrain" / "pretext_metrics.json")
    draw_curves(out)
    counts = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in transfer["counts"].items())
    share = f"{transfer['encoder_share']:.0%} of the encoder"
    cases, machine = count_cases(dataset_dir), pretext["machine"]
    facts = [
        ["method", f"{choice.method.title} ({choice.name}), bundle {choice.method.bundle.name}"],
        ["backbone", choice.backbone],
        ["data", f"{name}: {', '.join(f'{count} {section}' for section, count in cases.items())}"],
        ["seed", str(seed)],
        ["optimizer steps", ", ".join(f"{k}: {v}" for k, v in steps_run(out).items())],
        ["seconds", ", ".join(f"{k}: {v:.0f}" for k, v in seconds.items())],
        ["machine", f"{machine['system']}, {machine['cpus']} CPUs, {machine['gpu'] or 'no GPU'}"],
        ["versions", ", ".join(f"{k} {v}" for k, v in pretext["versions"].items())],
        ["commit", str(pretext["commit"])],
    ]
    page = [
        f"<!doctype html><meta charset='utf-8'><title>quick start: {name}</title><style>{STYLE}</style>",
        "<h1>Pretraining and fine-tuning, in small</h1>",
        f"<p>{html.escape(verdict(scores))}</p>",
        f"<p>Tensors carried over from pretraining: {html.escape(counts)}; {share}.</p>",
        "<h2>Held-out volumes</h2>",
        dice_table(scores),
        "<p>Same seed, same schedule; on each label's own grid. HD95: over cases where the class was found.</p>",
        "<img src='dice_curves.png' alt='Dice curves'>",
        of_pretraining(out, pretext["metrics"]),
        "<h2>A new volume, segmented</h2>",
        of_segmentation(out, dataset_dir, case),
        "<h2>Of this run</h2>",
        table(["", ""], facts),
    ]
    write_json(
        out / "report.json",
        {
            "method": choice.name,
            "backbone": choice.backbone,
            "data": name,
            "cases": cases,
            "datalist_hash": scores["scratch"].get("datalist_hash"),
            "seed": seed,
            "steps": steps_run(out),
            "seconds": seconds,
            "transfer": {"counts": transfer["counts"], "encoder_share": transfer["encoder_share"]},
            "scores": {run: {key: scores[run][key] for key in ("all", "classes")} for run in RUNS},
            "pretext": pretext["metrics"],
            **{key: pretext[key] for key in ("machine", "versions", "commit", "written")},
        },
    )
    report = out / "report.html"
    report.write_text("\n".join(page), encoding="utf-8")
    idle = [RUNS[run] for run in idle_runs(scores)]
    if idle:
        raise SystemExit(
            f"error: segmentation {' and '.join(idle)} learned nothing: its Dice is that of a background-only "
            f"prediction, or was not measured; see {report}"
        )
    return report
