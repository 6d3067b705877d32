"""Scores of each class: the table of the report, and which classes no run learned."""

from __future__ import annotations

from statistics import mean

from mim3d.report.blocks import Block, Heading, Table, Text
from mim3d.report.html import number
from mim3d.study.results import Result, Results

#: Mean Dice below which a class counts as not learned; predicting background alone scores 0.
LEARNED = 0.1


def class_dice(found: list[Result]) -> dict[str, float | None]:
    """Return the Dice of each class, mean over runs; None where it was not measured."""
    names = dict.fromkeys(name for result in found for name in result.summary["classes"])
    values = {name: [r.summary["classes"].get(name, {}).get("dice_mean") for r in found] for name in names}
    return {name: _mean([v for v in scores if v is not None]) for name, scores in values.items()}


def not_learned(results: Results) -> list[str]:
    """Return the classes whose mean test Dice is below ``LEARNED`` for every arm under every condition."""
    groups: dict[tuple[str, int, int], list[Result]] = {}
    for result in results.all:
        groups.setdefault((result.cell.arm.identity, result.cell.labels, result.cell.steps), []).append(result)
    best: dict[str, float] = {}
    for found in groups.values():
        for name, dice in class_dice(found).items():
            best[name] = max(best.get(name, 0.0), dice or 0.0)
    return [name for name, dice in best.items() if dice < LEARNED]


def classes_section(results: Results) -> list[Block]:
    """Return the Dice of each class and arm, with most labelled cases and steps, and the classes not learned."""
    labels, steps = max(results.plan.label_counts), max(results.plan.budgets)
    found = {arm.name: results.of(arm, labels, steps) for arm in results.plan.arms}
    dice = {name: class_dice(scored) for name, scored in found.items() if scored}
    if not dice:
        return []
    names = dict.fromkeys(name for scores in dice.values() for name in scores)
    rows = [[name, *(number(scores.get(name)) for scores in dice.values())] for name in names]
    text = f"Dice on the test cases, mean over seeds, with {labels} labelled cases and {steps} steps."
    blocks: list[Block] = [Heading("Each class"), Text(text), Table(["class", *dice], rows)]
    if lost := not_learned(results):
        blocks.append(
            Text(f"No arm learned {', '.join(lost)}: the mean Dice is below {LEARNED:g} for all of them.")
        )
    return blocks


def _mean(values: list[float]) -> float | None:
    return mean(values) if values else None
