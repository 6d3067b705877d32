"""The quick start's report: report.html with tables and pictures, and its numbers as report.json."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from custom_components.atomic import write_json, write_text
from mim3d.report.curves import curve
from mim3d.report.html import number, page, table
from mim3d.report.volumes import draw_volumes

if TYPE_CHECKING:
    from mim3d.quickstart.steps import Steps

#: The two segmentation runs, and their names in the report.
RUNS = {"scratch": "from scratch", "finetuned": "from pretrained weights"}
SECTIONS = ("unlabelled", "training", "validation", "test")
#: Mean Dice below which a run learned nothing: predicting background alone scores 0 on every labelled class.
LEARNED = 0.01
NOT_SEGMENTED = (
    "Not done: this case has one file per channel, and inference.yaml reads one file per case. To segment it, "
    "join its files into one 4D file (mim3d stack). The scores above do not depend on this step."
)
RECONSTRUCTION = (
    "A validation volume with its fixed mask. The loss covers masked voxels only, so the reconstruction of "
    "visible voxels has no meaning."
)
Scores = dict[str, Any]


def write_report(steps: Steps, case: dict[str, Any], seconds: dict[str, float]) -> Path:
    """Write the report from the files that the steps left.

    Args:
        steps: the runs of the quick start.
        case: the held-out case for the picture; it was segmented if its image is one file.
        seconds: time of each step.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: if a segmentation run learned nothing at a budget of 1 or more. At a smaller budget that is a
            warning. The report is written in both cases.
    """
    out = steps.out
    scores = {run: _read(out / run / "summary.json") for run in RUNS}
    draw_curves(out)
    numbers = _numbers(steps, scores, seconds)
    write_json(out / "report.json", numbers)
    pretext = numbers["pretext"]
    parts = [
        "<h1>Quick start: pretraining and fine-tuning</h1>",
        f"<p>{html.escape(verdict(scores))}</p>",
        f"<p>{html.escape(_transfer_sentence(numbers['transfer']))}</p>",
        "<h2>Scores on held-out volumes</h2>",
        dice_table(scores),
        "<p>Both runs have the same seed and schedule. Scores are computed on each label's own grid. HD95 is "
        "the mean over cases in which the class was found.</p>",
        "<img src='dice_curves.png' alt='Dice curves'>",
        _pretraining_section(out, pretext),
        "<h2>Segmentation of a held-out volume</h2>",
        _segmentation_section(steps, case),
        "<h2>This run</h2>",
        table(["", ""], _facts(steps, numbers)),
    ]
    report = out / "report.html"
    write_text(report, page(f"quick start: {steps.data.name}", parts))
    if idle := idle_runs(scores):
        names = " and ".join(RUNS[run] for run in idle)
        message = (
            f"segmentation {names} learned nothing: its Dice is that of a background-only prediction, or was not "
            f"measured; see {report}"
        )
        if steps.budget >= 1:
            raise ValueError(message)
        print(f"warning: {message}")
    return report


def verdict(scores: Scores) -> str:
    """Return one sentence that compares the two runs, whichever is better, and one on how little it proves."""
    scratch, tuned = (scores[run]["all"]["dice_mean"] for run in RUNS)
    if scratch is None or tuned is None:
        comparison = "the two cannot be compared"
    elif f"{abs(tuned - scratch):.3f}" == "0.000":
        comparison = "equal to three digits"
    else:
        comparison = f"{abs(tuned - scratch):.3f} {'higher' if tuned > scratch else 'lower'}"
    return (
        f"Mean Dice of fine-tuning from the pretrained weights: {number(tuned)}; of training from scratch: "
        f"{number(scratch)}: {comparison}. This is one seed and a small budget. It shows that every step works "
        "and says little about how much pretraining helps."
    )


def idle_runs(scores: Scores) -> list[str]:
    """Return the runs that learned nothing; a run whose Dice was not measured counts as one."""
    return [run for run in RUNS if (scores[run]["all"]["dice_mean"] or 0) < LEARNED]


def dice_table(scores: Scores) -> str:
    """Return an HTML table of Dice and HD95 per class, for both runs."""
    rows = []
    for name in scores["scratch"]["classes"]:
        both = [scores[run]["classes"][name] for run in RUNS]
        rows.append([name, *(number(s["dice_mean"]) for s in both), *(number(s["hd95_mm_mean"], 1) for s in both)])
    both = [scores[run]["all"] for run in RUNS]
    mean = [f"{number(s['dice_mean'])} ± {number(s['dice_sd'])}" for s in both]
    rows.append(["mean over cases", *mean, *(number(s["hd95_mm_mean"], 1) for s in both)])
    return table(["class", "Dice, scratch", "Dice, pretrained", "HD95 mm, scratch", "HD95 mm, pretrained"], rows)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _numbers(steps: Steps, scores: Scores, seconds: dict[str, float]) -> dict[str, Any]:
    """Return what report.json holds."""
    out = steps.out
    transfer, pretext = (
        _read(out / "finetuned" / "transfer.json"),
        _read(out / "pretrain" / "pretext_metrics.json"),
    )
    return {
        "method": steps.choice.name,
        "backbone": steps.choice.backbone,
        "data": steps.data.name,
        "cases": {section: len(steps.data.items(section)) for section in SECTIONS},
        "datalist_hash": scores["scratch"].get("datalist_hash"),
        "seed": steps.seed,
        "steps": {run: _steps_run(out / run / "resume.pt") for run in ("pretrain", *RUNS)},
        "seconds": seconds,
        "transfer": {key: transfer[key] for key in ("counts", "encoder_share")},
        "scores": {run: {key: scores[run][key] for key in ("all", "classes")} for run in RUNS},
        "pretext": pretext["metrics"],
        **{key: pretext[key] for key in ("machine", "versions", "commit", "written")},
    }


def _steps_run(resume: Path) -> int:
    """Return the optimizer steps that a run made; the smoke layers make one per iteration."""
    return int(torch.load(resume, map_location="cpu", weights_only=True)["trainer"]["iteration"])


def _transfer_sentence(transfer: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in transfer["counts"].items())
    return f"Tensors transferred from pretraining: {counts}; {transfer['encoder_share']:.0%} of the encoder."


def draw_curves(out: Path) -> None:
    """Write ``dice_curves.png``: validation Dice over epochs, of both runs."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for run, name in RUNS.items():
        steps, values = curve(out / run, "val_mean_dice")
        axes.plot(steps, values, marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="mean Dice on validation volumes", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out / "dice_curves.png", dpi=110)


def _facts(steps: Steps, numbers: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table on the run itself."""
    method, machine = steps.choice.method, numbers["machine"]
    listed = ", ".join(f"{count} {section}" for section, count in numbers["cases"].items())
    return [
        ["method", f"{method.title} ({steps.choice.name}), bundle {method.bundle.name}"],
        ["backbone", steps.choice.backbone],
        ["data", f"{steps.data.name}: {listed}"],
        ["seed", str(steps.seed)],
        ["optimizer steps", ", ".join(f"{run}: {count}" for run, count in numbers["steps"].items())],
        ["seconds", ", ".join(f"{step}: {value:.0f}" for step, value in numbers["seconds"].items())],
        ["machine", f"{machine['system']}, {machine['cpus']} CPUs, {machine['gpu'] or 'no GPU'}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in numbers["versions"].items())],
        ["commit", str(numbers["commit"])],
    ]


def _pretraining_section(out: Path, metrics: dict[str, float]) -> str:
    """Return the pretext scores, and the picture of a reconstruction if the method makes one."""
    scores = table(["pretext score", "value"], [[name, number(value, 4)] for name, value in metrics.items()])
    if not (out / "pretrain" / "reconstruction.png").is_file():
        return f"<h2>Pretraining</h2>\n{scores}"
    picture = "<img src='pretrain/reconstruction.png' alt='reconstruction'>"
    return f"<h2>Pretraining: masked volume and reconstruction</h2>\n<p>{RECONSTRUCTION}</p>{picture}\n{scores}"


def _segmentation_section(steps: Steps, case: dict[str, Any]) -> str:
    """Return the picture of the segmented volume, or why there is none."""
    if not isinstance(case["image"], str):
        return f"<p>{html.escape(NOT_SEGMENTED)}</p>"
    folder = steps.data.dataset_dir
    prediction = next((steps.out / "segmentation").glob("*_seg.nii.gz"))
    predictions = {"prediction": prediction}
    draw_volumes(steps.out / "overlay.png", folder / case["image"], folder / case["label"], predictions)
    name = html.escape(str(prediction.relative_to(steps.out)))
    return f"<img src='overlay.png' alt='label and prediction'><p>{name}</p>"
