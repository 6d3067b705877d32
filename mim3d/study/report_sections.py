"""The sections of a study's report."""

from __future__ import annotations

from custom_components.atomic import read_json
from custom_components.handlers.fill_warning import EXPLAINED
from custom_components.transfer.cards import provenance
from mim3d.report.blocks import Block, Code, Heading, Items, Picture, Table, Text
from mim3d.report.html import number
from mim3d.study.comparison import Comparison
from mim3d.study.curves import Curve, picture_of, validation_curves
from mim3d.study.figures import draw_curves, draw_differences, draw_pretext
from mim3d.study.pictures import Shown, draw_case, masks_of
from mim3d.study.progress import clock
from mim3d.study.results import Results, Row
from mim3d.study.runs import Run
from mim3d.study.scheduler import Failure
from mim3d.study.tables import rate_rows, result_row, shared_searches
from mim3d.study.verdict import describe, p_text

COMPARED = (
    "Difference: mean over seeds and test cases, paired. Interval: 95 % percentile bootstrap, which resamples "
    "seeds and test cases. p: Wilcoxon's signed-rank test over test cases (mean over seeds), with Holm's "
    "correction over all comparisons of this table; it concerns these training runs only. Steps to the "
    "reference: first validation at which the mean curve of the seeds is at least the last value of the "
    "reference's mean curve."
)
SHARE = (
    "Explained share: 1 - error / error of a Gaussian fill, over masked voxels of the validation volumes. At 0 or "
    "below, the network reconstructs no better than that fill, and its features may not help."
)
RATES = (
    "Each side has its own search. A candidate is judged by the best Dice of the validation cases. Test cases "
    "were scored once, with the chosen candidate."
)


def failed_section(failures: list[Failure]) -> list[Block]:
    """Return the runs that failed, with the ends of their logs."""
    if not failures:
        return []
    texts = [Code(f"{failure.job.title}: {failure.reason}") for failure in failures]
    return [Heading(f"{len(failures)} runs failed"), Text("Run the study again to repeat only these."), *texts]


def scores_section(results: Results, comparisons: list[Comparison]) -> list[Block]:
    """Return the comparisons in words and as a table, and every tested run."""
    head = ["arm", "labels", "steps", "seeds", "Dice", "reference", "difference", "95 % interval", "p (Holm)",
            "steps to reference", "with pretraining"]  # fmt: skip
    rows = [
        [
            one.arm.name,
            str(one.labels),
            str(one.steps),
            str(one.seeds),
            f"{one.dice[0]:.3f}",
            f"{one.dice[1]:.3f} ({one.reference.name})",
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
            p_text(one.p_holm),
            "not reached" if one.steps_to is None else str(one.steps_to),
            "not reached" if one.steps_to is None else str(one.steps_to + one.pretraining[0]),
        ]
        for one in comparisons
    ]
    texts: list[Block] = [Items([describe(one) for one in comparisons])] if comparisons else []
    return [
        Heading("Comparisons on the test cases"),
        *texts,
        Table(head, rows),
        Text(COMPARED),
        *_all_runs(results),
    ]


def longer_section(longer: list[Comparison]) -> list[Block]:
    """Return the comparisons with longer trainings of the reference as a table."""
    if not longer:
        return []
    head = ["arm", "labels", "steps", "Dice", "reference", "its steps", "difference", "95 % interval", "p (Holm)"]
    rows = [
        [
            one.arm.name,
            str(one.labels),
            str(one.steps),
            f"{one.dice[0]:.3f}",
            f"{one.dice[1]:.3f} ({one.reference.name})",
            str(one.reference_steps),
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
            p_text(one.p_holm),
        ]
        for one in longer
    ]
    note = "Difference, interval and p as above; the correction is over the comparisons of this table."
    return [Heading("Against longer trainings of the reference"), Table(head, rows), Text(note)]


def _all_runs(results: Results) -> list[Block]:
    head = ["arm", "labels", "seed", "steps", "rate", "Dice", "surface Dice", "HD95, mm", "seconds"]
    rows = []
    for result in results.all:
        row = result_row(results, result)
        scores = [number(row["dice"]), number(row["nsd"]), number(row["hd95"], 1)]
        plain = [str(row[key]) for key in ("arm", "labels", "seed", "steps")]
        rows.append([*plain, f"{row['learning_rate']:g}", *scores, f"{row['seconds']:.0f}"])
    note = "Scores are means over test cases, on the grid of each label file. HD95 leaves out classes not found."
    return [Heading("Every tested run"), Table(head, rows), Text(note)]


def figures_section(results: Results, comparisons: list[Comparison]) -> list[Block]:
    """Return the validation curves and the differences of single cases."""
    folder, blocks = results.plan.out / "pictures", list[Block]()
    for budget in results.plan.budgets:
        path = folder / f"curves_{budget}.png"
        if draw_curves(results, budget, path):
            text = (
                f"Dice of the validation cases, {budget} steps: mean over seeds, band from lowest to highest seed"
            )
            blocks.append(Picture(path, text))
        path = folder / f"differences_{budget}.png"
        if draw_differences(results, [one for one in comparisons if one.budget == budget], path):
            text = (
                f"Test cases, budget {budget} steps: difference of each case (dot), mean and 95 % interval (black)"
            )
            blocks.append(Picture(path, text))
    return [Heading("Curves and single cases"), *blocks] if blocks else []


def ranks_section(ranks: dict[str, float], conditions: int) -> list[Block]:
    """Return the mean ranks."""
    if not ranks:
        return []
    rows = [[name, f"{rank:.2f}"] for name, rank in sorted(ranks.items(), key=lambda pair: pair[1])]
    text = f"Mean rank over {conditions} test cases under all conditions; 1 is best."
    return [Heading("Mean ranks"), Table(["arm", "mean rank"], rows), Text(text)]


def rates_section(results: Results) -> list[Block]:
    """Return what the searches of the learning rate found."""
    found = shared_searches(rate_rows(results))
    if not found:
        return [Heading("Learning rates"), Text("No rate was searched: every run has the rate of its config.")]
    fixed = ("arm", "labels", "budget", "tried_at_labels", "seed", "validation_dice", "chosen", "at_the_edge")
    keys = list(dict.fromkeys(key for row in found for key in row if key not in fixed))
    rows = [
        [
            row["arm"],
            _labels_of_search(row),
            *(str(row[key]) for key in ("budget", "seed")),
            *(str(row.get(key, "")) for key in keys),
            number(row["validation_dice"]),
            ("chosen, at the edge" if row["at_the_edge"] else "chosen") if row["chosen"] else "",
        ]
        for row in found
    ]
    head = ["arm", "labels", "steps", "seed", *keys, "validation Dice", ""]
    edge = "A rate at the edge of those tried may not be the best: try rates beyond it."
    notes = [Text(edge)] if any(row["at_the_edge"] for row in found) else []
    return [Heading("Learning rates"), Text(RATES), Table(head, rows), *notes]


def _labels_of_search(row: Row) -> str:
    """Return the label counts that a search is for, and the one that it was made with if that is not plain."""
    labels, tried = row["labels"], row["tried_at_labels"]
    text = ", ".join(map(str, labels))
    return text if labels == [tried] else f"{text}; searched with {tried}"


def pretraining_section(results: Results) -> list[Block]:
    """Return cost, curves and reconstructions of the pretrainings."""
    runs = _pretrainings(results)
    if not runs:
        return []
    records = {title: run.done or {} for title, run in runs.items()}
    curves = {title: validation_curves(run) for title, run in runs.items()}
    head = ["pretraining", "steps", "time", "explained share at the end"]
    rows = [
        [title, str(record.get("steps")), clock(record.get("seconds")), _share(curves[title].get(EXPLAINED))]
        for title, record in records.items()
    ]
    path = results.plan.out / "pictures" / "pretext.png"
    drawn = draw_pretext(curves, path)
    pictures = [Picture(path, "Values of the pretext task on validation images")] if drawn else []
    found = [(title, picture_of(run)) for title, run in runs.items()]
    pictures += [Picture(picture, f"Reconstruction: {title}") for title, picture in found if picture is not None]
    return [Heading("Pretraining"), Table(head, rows), Text(SHARE), *_transferred(results), *pictures]


def _pretrainings(results: Results) -> dict[str, Run]:
    """Return each pretraining once, by its title, which counts the arms that share it."""
    runs: dict[str, Run] = {}
    arms: dict[str, set[str]] = {}
    for result in results.all:
        if (run := result.pretraining) is not None:
            runs.setdefault(run.digest, run)
            arms.setdefault(run.digest, set()).add(result.cell.arm.name)
    counts = {digest: f", for {len(names)} arms" if len(names) > 1 else "" for digest, names in arms.items()}
    return {run.title + counts[digest]: run for digest, run in runs.items()}


def _share(curve: Curve | None) -> str:
    return "not measured" if curve is None or curve.final is None else f"{curve.final:.3f}"


def _transferred(results: Results) -> list[Block]:
    """Return what reached the fine-tuned networks, as each training reported it; equal reports once."""
    texts = []
    for result in results.all:
        if (path := result.training.folder / "transfer.json").is_file():
            report = read_json(path)
            counts = ", ".join(
                f"{count} {key.replace('_', ' ')}" for key, count in report["counts"].items() if count
            )
            texts.append(f"{result.cell.arm.name}: {counts}; {report['encoder_share']:.0%} of the encoder")
    note = Text("Tensors that fine-tuning took over from pretraining:")
    return [note, Items(list(dict.fromkeys(texts)))] if texts else []


def cases_section(results: Results, shown: list[Shown]) -> list[Block]:
    """Return the pictures of the best and the worst case."""
    blocks: list[Block] = []
    for count, one in enumerate(shown):
        path = results.plan.out / "pictures" / f"case_{count}.png"
        if draw_case(results.plan, one, path):
            masks = [mask for run in one.runs.values() for mask in masks_of(run)]
            paths = ", ".join(mask.relative_to(results.plan.out).as_posix() for mask in masks)
            blocks += [Picture(path, one.why), Text(f"Segmentations: {paths}")]
    return [Heading("Best and worst case"), *blocks] if blocks else []


def facts_section(results: Results, seconds: float) -> list[Block]:
    """Return what the study ran on."""
    plan, origin = results.plan, provenance()
    machine = origin["machine"]
    rows = [
        ["task", plan.study.task.bundle.name],
        ["data", f"{plan.data.name}; list: {plan.data.source}"],
        ["cases", ", ".join(f"{len(items)} {name}" for name, items in plan.data.sections.items())],
        [
            "label counts, seeds",
            f"{plan.label_counts}, {plan.seeds}; with one seed, small subsets lie in large ones",
        ],
        ["budget", f"factor {plan.budget:g} on the steps of the study file"],
        ["time of all runs", clock(seconds)],
        ["machine", f"{machine['system']}, {machine['cpus']} CPUs, {machine['gpu'] or 'no GPU'}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in origin["versions"].items())],
        ["commit", str(origin["commit"])],
    ]
    files = "results.csv, classes.csv, cases.csv, curves.csv, rates.csv, comparisons.csv, ranks.json"
    return [Heading("This study"), Table(["", ""], rows), Text(f"The numbers are in {files}.")]
