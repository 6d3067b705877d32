"""Scores of each class: means over seeds, and which classes no arm learned."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mim3d.report.blocks import Table, Text
from mim3d.study.class_scores import classes_section, not_learned
from mim3d.study.plan import Plan
from mim3d.study.results import Results
from tests.mim3d.study.left import run_all


@pytest.fixture
def results(make: Callable[..., Plan]) -> Callable[..., Results]:
    """``results(b=0.3)``: fine-tuning has this Dice of class b, scratch has 0.05 and 0.07; class a is learned."""

    def leave(b: float | None) -> Results:
        plan = make(grid={"labels": [2, 4]})
        run_all(plan, lambda cell: [0.5], lambda cell, case: 0.5)
        found = Results(plan)
        for result in found.all:
            cell = result.cell
            dice = b if cell.labels == 4 and not cell.arm.from_scratch else 0.05 + 0.02 * cell.seed
            path = result.test.folder / "summary.json"
            summary = json.loads(path.read_text())
            summary["classes"]["b"] = {"dice_mean": dice}
            path.write_text(json.dumps(summary))
        return Results(plan)

    return leave


def test_the_table_has_the_mean_over_seeds_with_most_labels(results: Callable[..., Results]) -> None:
    (table,) = (block for block in classes_section(results(b=0.3)) if isinstance(block, Table))
    assert table.head == ["class", "scratch", "hybridmim"]
    assert table.rows == [["a", "0.500", "0.500"], ["b", "0.060", "0.300"]]


@pytest.mark.parametrize(("b", "lost"), [(0.3, []), (0.08, ["b"]), (None, ["b"])])
def test_a_class_is_learned_if_one_arm_learned_it(
    results: Callable[..., Results], b: float | None, lost: list[str]
) -> None:
    found = results(b=b)
    assert not_learned(found) == lost
    said = [block.text for block in classes_section(found) if isinstance(block, Text)][1:]
    assert said == [f"No arm learned {name}: the mean Dice is below 0.1 for all of them." for name in lost]
