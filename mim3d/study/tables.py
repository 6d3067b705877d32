"""The tables of a study: a row for each tested run, class, case, point of a curve, and try of a rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from custom_components.atomic import write_csv
from mim3d.study.choice import at_the_edge, choose, trials, validation_dice
from mim3d.study.data import list_hash
from mim3d.study.results import Result, Results, Row


def result_row(results: Results, result: Result) -> Row:
    """Return a run as a row of results.csv."""
    cell, everything, levels = result.cell, result.summary["all"], results.plan.study.levels
    before = None if result.pretraining is None else result.pretraining.done
    record = result.training.done or {}
    return {
        "study": results.plan.study.name,
        "arm": cell.arm.name,
        "method": cell.arm.method,
        "backbone": cell.arm.backbone,
        "labels": cell.labels,
        "seed": cell.seed,
        "budget": cell.steps,
        "learning_rate": result.training.config.value("learning_rate"),
        **{
            score: everything[f"{name}_mean"]
            for score, name in (("dice", "dice"), ("nsd", "nsd"), ("hd95", "hd95_mm"))
        },
        "steps": result.training.steps,
        "steps_to_scratch": results.steps_to_scratch(result),
        **{f"steps_to_{level:g}": result.curve.steps_to(level) for level in levels},
        "validation_dice": validation_dice(result.training),
        "final_validation_dice": result.curve.final,
        "seconds": round(float(record.get("seconds", 0)), 1),
        "pretraining_steps": before["steps"] if before else 0,
        "pretraining_seconds": round(float(before["seconds"]), 1) if before else 0.0,
        "keys": "; ".join(f"{key}={value}" for key, value in result.keys.items()),
        "config_hash": result.training.digest,
        "commit": record.get("commit"),
        "split_hash": list_hash(results.plan.data.segmentation_list(cell.labels, cell.seed)),
        "run": str(result.training.folder.relative_to(results.plan.out)),
    }


def write_tables(results: Results, folder: Path) -> None:
    """Write results.csv, classes.csv, cases.csv, rates.csv and curves.csv."""
    keys = ("arm", "labels", "seed", "budget")
    rows = [(result, result_row(results, result)) for result in results.all]
    write_csv(folder / "results.csv", [row for _, row in rows])
    named = [(result, {key: row[key] for key in keys}) for result, row in rows]
    classes = [
        {**name, "class": label, **scores}
        for result, name in named
        for label, scores in result.summary["classes"].items()
    ]
    write_csv(folder / "classes.csv", classes)
    write_csv(folder / "cases.csv", [{**name, **row} for result, name in named for row in result.case_rows])
    curves = [
        {**name, "step": step, "validation_dice": value}
        for result, name in named
        for step, value in zip(result.curve.steps, result.curve.values, strict=True)
    ]
    write_csv(folder / "curves.csv", curves)
    write_csv(folder / "rates.csv", rate_rows(results))


def rate_rows(results: Results) -> list[Row]:
    """Return every training of the rate searches, and which candidate was chosen."""
    rows: dict[str, Row] = {}
    for cell in results.plan.cells:
        chosen = choose(results.plan, cell)
        for trial in trials(results.plan, cell):
            edge = chosen is not None and at_the_edge(results.plan.candidates(cell.arm), chosen)
            rows[f"{cell.labels} {trial.run.digest}"] = {
                "arm": cell.arm.name,
                "labels": cell.labels,
                "budget": cell.steps,
                "tried_at_labels": trial.cell.labels,
                "seed": trial.cell.seed,
                **trial.candidate,
                "validation_dice": trial.dice,
                "chosen": trial.candidate == chosen,
                "at_the_edge": trial.candidate == chosen and edge,
            }
    return list(rows.values())


def shared_searches(rows: Sequence[Row]) -> list[Row]:
    """Return one row for each training of :func:`rate_rows`; its ``labels`` are all counts that it is for."""
    found: dict[str, Row] = {}
    for row in rows:
        own = repr([(name, value) for name, value in row.items() if name != "labels"])
        found.setdefault(own, {**row, "labels": []})["labels"].append(row["labels"])
    return list(found.values())
