"""The report of a study: report.html, which needs no other file, and report.md."""

from __future__ import annotations

from pathlib import Path

from custom_components.atomic import write_csv, write_json, write_text
from mim3d.report.blocks import Block, Heading, Text, to_html, to_markdown
from mim3d.study.class_scores import classes_section
from mim3d.study.comparison import compare, compare_with_longer, rank_arms
from mim3d.study.pictures import Shown
from mim3d.study.report_sections import (
    cases_section,
    facts_section,
    failed_section,
    figures_section,
    longer_section,
    pretraining_section,
    ranks_section,
    rates_section,
    scores_section,
)
from mim3d.study.results import Results
from mim3d.study.scheduler import Failure
from mim3d.study.tables import write_tables
from mim3d.study.verdict import verdict


def write_report(results: Results, shown: list[Shown], failures: list[Failure], seconds: float) -> Path:
    """Write tables, figures and both reports, and return the path of the page.

    Args:
        results: of the study.
        shown: test cases to draw.
        failures: runs that failed.
        seconds: of all runs together.
    """
    plan, out = results.plan, results.plan.out
    comparisons, longer = compare(results), compare_with_longer(results)
    ranks, conditions = rank_arms(results)
    write_tables(results, out)
    write_csv(out / "comparisons.csv", [one.row for one in [*comparisons, *longer]])
    write_json(out / "ranks.json", {"conditions": conditions, "mean_ranks": ranks})
    title = f"Study {plan.study.name}"
    blocks: list[Block] = [Heading(title, 1)]
    blocks += [Text(plan.study.about)] if plan.study.about else []
    blocks += [Text(sentence, strong=True) for sentence in verdict(comparisons, longer)]
    blocks += failed_section(failures)
    blocks += scores_section(results, comparisons)
    blocks += longer_section(longer)
    blocks += classes_section(results)
    blocks += figures_section(results, comparisons)
    blocks += ranks_section(ranks, conditions)
    blocks += rates_section(results)
    blocks += pretraining_section(results)
    blocks += cases_section(results, shown)
    blocks += facts_section(results, seconds)
    write_text(out / "report.md", to_markdown(blocks, out))
    write_text(out / "report.html", to_html(title, blocks))
    return out / "report.html"
