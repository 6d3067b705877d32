"""Tables, comparisons and the report of a study, from files that its runs would leave."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.report.blocks import Table
from mim3d.study.arms import Cell
from mim3d.study.choice import at_the_edge, choose
from mim3d.study.comparison import Comparison, compare, compare_with_longer, rank_arms
from mim3d.study.curves import Curve, mean_curve
from mim3d.study.plan import Plan
from mim3d.study.report import write_report
from mim3d.study.report_sections import pretraining_section, rates_section
from mim3d.study.results import Results
from mim3d.study.scheduler import Failure
from mim3d.study.stages import chosen_runs, first_runs
from mim3d.study.tables import rate_rows
from mim3d.study.verdict import clearly, verdict
from tests.mim3d.study.left import leave_scores, leave_training, run_all
from tests.mim3d.study.stubs import stub

MakePlan = Callable[..., Plan]


def curve(cell: Cell) -> list[float]:
    """Scratch ends at 0.5 to 0.6; fine-tuning is there after half of the steps."""
    end = 0.5 + 0.1 * cell.seed
    return [0.2, end] if cell.arm.from_scratch else [end + 0.05, end + 0.1]


def dice(cell: Cell, case: int) -> float:
    """Fine-tuning gains 0.1 on case 0, 0.2 on case 1 and loses 0.05 on case 2."""
    start = 0.4 + 0.05 * cell.seed + 0.01 * cell.labels
    return start if cell.arm.from_scratch else start + (0.1, 0.2, -0.05)[case]


@pytest.fixture
def results(make: MakePlan) -> Results:
    plan = make(levels=[0.55, 0.9], segmentation={"keys": {"learning_rate": 0.25}})
    run_all(plan, curve, dice)
    return Results(plan)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_report_and_its_tables(results: Results, tmp_path: Path) -> None:
    out = results.plan.out
    failed = Failure(stub(tmp_path, "lost run"), "exit status 1; end of log.txt:\n    error: <no> such volume")
    page = write_report(results, [], [failed], 60.0).read_text(encoding="utf-8")
    rows = rows_of(out / "results.csv")
    wanted = [
        "study",
        "method",
        "backbone",
        "labels",
        "seed",
        "budget",
        "learning_rate",
        "dice",
        "nsd",
        "hd95",
        "steps",
        "steps_to_scratch",
    ]
    assert set(wanted) | {"config_hash", "commit", "split_hash"} <= set(rows[0])
    assert len(rows) == 8
    row = next(row for row in rows if (row["method"], row["labels"], row["seed"]) == ("hybridmim", "2", "1"))
    assert float(row["dice"]) == pytest.approx(0.47 + 0.25 / 3)
    assert (row["steps"], row["steps_to_scratch"], row["steps_to_0.55"], row["steps_to_0.9"]) == (
        "8",
        "4",
        "4",
        "",
    )
    assert (row["learning_rate"], row["pretraining_steps"], row["commit"]) == ("0.25", "8", "abc")
    scratch = next(row for row in rows if row["method"] == "scratch")
    assert (scratch["steps_to_scratch"], scratch["pretraining_steps"]) == ("8", "0")
    assert len({row["split_hash"] for row in rows}) == 2  # both seeds draw the same two of four cases
    assert len(rows_of(out / "cases.csv")) == 8 * 3 * 2
    assert {row["class"] for row in rows_of(out / "classes.csv")} == {"a"}
    assert len(rows_of(out / "curves.csv")) == 8 * 2
    assert {path.name for path in (out / "pictures").iterdir()} == {
        "curves_8.png",
        "differences_8.png",
        "pretext.png",
    }
    assert len(re.findall("<img src='data:image/png;base64,", page)) == len(re.findall("<img ", page)) == 3
    assert not re.search(r"(src|href)=['\"](?!data:)", page)
    assert "error: &lt;no&gt; such volume" in page
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert "](pictures/curves_8.png)" in markdown
    for sentence in verdict(compare(results)):
        assert f"**{sentence}**" in markdown


def test_comparisons_are_paired_and_count_the_cost_of_pretraining(results: Results) -> None:
    two, four = compare(results)
    assert (two.arm.name, two.reference.name, two.labels, four.labels) == ("hybridmim", "scratch", 2, 4)
    assert (two.seeds, two.cases) == (2, ("case_0", "case_1", "case_2"))
    assert two.differences == pytest.approx((0.1, 0.2, -0.05))
    assert two.difference == pytest.approx(0.25 / 3)
    assert two.dice == pytest.approx((0.445 + 0.25 / 3, 0.445))
    assert two.interval[0] < two.difference < two.interval[1]
    assert (two.p, two.p_holm) == (0.5, 1.0)  # three cases, two comparisons
    assert (two.steps, two.steps_to, two.pretraining) == (8, 4, (8, 100.0))
    assert two.levels == {0.55: (4, 8), 0.9: (None, None)}
    assert two.row["steps_to_reference_with_pretraining"] == 12
    assert rank_arms(results) == ({"scratch": pytest.approx(5 / 3), "hybridmim": pytest.approx(4 / 3)}, 6)


def test_the_cost_of_a_pretraining_is_that_of_one_where_each_seed_has_its_own(make: MakePlan) -> None:
    plan = make(pretraining={"steps": 8, "per_seed": True})
    run_all(plan, curve, dice)
    assert [one.pretraining for one in compare(Results(plan))] == [(8, 100.0)] * 2


def test_fine_tuning_is_compared_with_longer_trainings_of_scratch(make: MakePlan) -> None:
    plan = make(grid={"steps": [8, 16]})

    def gains(cell: Cell, case: int) -> float:
        """Twice the steps give scratch 0.03 and fine-tuning 0.05 more."""
        more = 0.03 if cell.arm.from_scratch else 0.05
        return dice(cell, case) + (more if cell.steps == 16 else 0.0)

    run_all(plan, curve, gains)
    found = compare_with_longer(results := Results(plan))
    assert [(one.arm.name, one.labels, one.budget, one.reference_budget) for one in found] == [
        ("hybridmim", 2, 8, 16),
        ("hybridmim", 4, 8, 16),
    ]
    assert found[0].differences == pytest.approx((0.07, 0.17, -0.08))
    assert (found[0].steps, found[0].reference_steps) == (8, 16)
    assert {one.budget - one.reference_budget for one in compare(results)} == {0}
    assert compare(results)[-1].differences == pytest.approx((0.12, 0.22, -0.03))
    page = write_report(results, [], [], 60.0)
    budgets = [(row["budget"], row["reference_budget"]) for row in rows_of(plan.out / "comparisons.csv")]
    assert budgets == [("8", "8"), ("16", "16")] * 2 + [("8", "16")] * 2
    assert "Against longer trainings of the reference" in page.read_text(encoding="utf-8")
    assert (
        "hybridmim with 8 steps only: test Dice not clearly different from scratch with 16 steps with 2 labels "
        "and 4 labels (difference +0.053 to +0.053)."
    ) in verdict(compare(results), found)


def changed(one: Comparison, **values: object) -> Comparison:
    for name, value in values.items():
        object.__setattr__(one, name, value)
    return one


def test_the_verdict_says_what_is_clear_and_what_is_not(results: Results) -> None:
    two, four = compare(results)
    sentences = verdict([two, four])
    assert sentences[0] == (
        "hybridmim: test Dice not clearly different from scratch with 2 labels and 4 labels (difference +0.083 to "
        "+0.083). In 2 of 2 conditions it reached the final validation Dice of scratch in half of the steps or "
        "fewer."
    )
    assert "2 seeds, 3 test cases and one data set" in sentences[1]
    better = changed(two, interval=(0.01, 0.2), p_holm=0.01)
    worse = changed(four, interval=(-0.2, -0.01), p_holm=0.01, steps_to=None)
    assert [clearly(one) for one in (better, worse)] == [1, -1]
    assert clearly(changed(compare(results)[0], interval=(0.01, 0.2), p_holm=0.2)) == 0
    text = verdict([better, worse])[0]
    assert "clearly higher than scratch with 2 labels, clearly lower than scratch with 4 labels" in text
    assert "In 1 of 2 conditions" in text
    assert verdict([]) == ["Nothing can be compared: no arm and its reference were both tested."]


def test_cells_whose_runs_failed_are_left_out(results: Results) -> None:
    plan = results.plan
    lost = plan.test(plan.training(plan.cells[0], {}))
    (lost.folder / "done.json").unlink()
    left = Results(plan)
    assert len(left.all) == 7
    assert [one.seeds for one in compare(left)] == [1, 2]


def test_the_rate_is_chosen_on_validation_cases_for_each_side(make: MakePlan) -> None:
    plan = make(rates={"scratch": [1.0e-3, 1.0e-2, 2.0e-2], "finetuned": [1.0e-2]})
    best = {1.0e-3: 0.3, 1.0e-2: 0.6, 2.0e-2: 0.5}
    for run in first_runs(plan):
        if run.kind == "training":
            leave_training(run, [0.1, best[run.config.keys.get("learning_rate", 1.0e-3)]])
    scratch, tuned = plan.cells[0], plan.cells[2]
    assert choose(plan, scratch) == {"learning_rate": 1.0e-2}
    assert choose(plan, tuned) == {"learning_rate": 1.0e-2}
    rates = [
        (row["labels"], row["learning_rate"], row["validation_dice"], row["chosen"])
        for row in rate_rows(Results(plan))
    ]
    assert rates == [(n, rate, best[rate], rate == 1.0e-2) for n in (2, 4) for rate in best]
    # Test scores change nothing, and a failed candidate is passed over.
    worst = plan.training(scratch, {"learning_rate": 1.0e-3})
    leave_scores(plan.test(worst), [1.0, 1.0, 1.0])
    assert choose(plan, scratch) == {"learning_rate": 1.0e-2}
    (plan.training(scratch, {"learning_rate": 1.0e-2}).folder / "done.json").unlink()
    assert choose(plan, scratch) == {"learning_rate": 2.0e-2}
    assert len(chosen_runs(plan)) == 8
    for rate in (1.0e-3, 2.0e-2):
        (plan.training(scratch, {"learning_rate": rate}).folder / "done.json").unlink()
    assert choose(plan, scratch) is None
    assert len(chosen_runs(plan)) == 6


def test_a_search_that_label_counts_share_is_reported_once(make: MakePlan) -> None:
    candidates = {"scratch": [1.0e-3, 1.0e-2], "finetuned": [1.0e-2]}
    shared, own = make(rates={**candidates, "labels": 2}), make(rates=candidates)
    for plan, labels in ((shared, [["2, 4; searched with 2"] * 2]), (own, [["2"] * 2, ["4"] * 2])):
        for run in first_runs(plan):
            if run.kind == "training":
                leave_training(run, [0.1, run.config.keys.get("learning_rate", 1.0e-3)])
        (table,) = (block for block in rates_section(Results(plan)) if isinstance(block, Table))
        found = [row[:5] for row in table.rows if row[0] == "scratch"]
        assert [row[1] for row in found] == sum(labels, [])
        assert [row[4] for row in found] == ["0.001", "0.01"] * len(labels)
    assert len(rate_rows(Results(shared))) == len(rate_rows(Results(own)))  # rates.csv has a row for each count


def test_a_pretraining_that_arms_share_is_shown_once(make: MakePlan) -> None:
    variants = {"all": {}, "frozen": {"segmentation": {"encoder_lr_factor": 0.0}}}
    plan = make(variants=variants, grid={"variant": ["all", "frozen"]}, reference="hybridmim all")
    run_all(plan, curve, dice)
    (table,) = (block for block in pretraining_section(Results(plan)) if isinstance(block, Table))
    ((title, *_),) = table.rows
    assert title.startswith("pretraining hybridmim all, ")
    assert title.endswith(" steps, seed 0, for 2 arms")


def test_a_rate_at_the_edge_is_named() -> None:
    candidates = [{"learning_rate": rate} for rate in (1.0, 2.0, 3.0)]
    assert [at_the_edge(candidates, chosen) for chosen in candidates] == [True, False, True]
    assert not at_the_edge(candidates[:1], candidates[0])


def test_steps_to_a_level_are_those_of_the_first_validation_at_or_above_it() -> None:
    one = Curve((10, 20, 30), (0.2, 0.6, 0.5))
    assert [one.steps_to(level) for level in (0.1, 0.5, 0.6, 0.61, None)] == [10, 20, 20, None, None]
    average = mean_curve([one, Curve((10, 30), (0.4, 0.7))])
    assert (average.steps, average.values) == ((10, 30), pytest.approx((0.3, 0.6)))
    assert mean_curve([]).final is None
