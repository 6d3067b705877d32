"""The plan of a study as text: arms, cells, commands, number of runs, and time."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from mim3d.study.choice import search_runs
from mim3d.study.plan import Plan
from mim3d.study.progress import Times, clock, say
from mim3d.study.runs import Run
from mim3d.study.stages import chosen_or_first, first_runs, known_runs, run_count
from mim3d.study.timing import makespan


def print_plan(plan: Plan, slots: int, commands: bool = True, expected: Mapping[str, float] | None = None) -> None:
    """Print a plan.

    Args:
        plan: the plan.
        slots: runs at a time.
        commands: whether to print every command; otherwise only the summary.
        expected: seconds of each run by its digest, from timed steps; None: what is known from runs that are done.
    """
    study, data = plan.study, plan.data
    cases = ", ".join(f"{len(items)} {name}" for name, items in data.sections.items())
    say(f"study {study.name}: {study.task.bundle.name}, results in {plan.out}")
    say(f"data: {data.folder or ''} {data.source}; {cases}".replace("data:  ", "data: "))
    for arm in plan.arms:
        candidates = "; ".join(_keys(keys) for keys in plan.candidates(arm))
        pretraining = (
            f", pretraining of {plan.steps(arm.pretraining_steps)} steps" if arm.pretraining_steps else ""
        )
        say(f"arm {arm.name}: {arm.backbone}{pretraining}; rates: {candidates}")
    say(f"label counts {plan.label_counts}, seeds {plan.seeds}, steps {plan.budgets}: {len(plan.cells)} cells")
    if commands:
        _print_commands(plan)
    pretrainings, trainings, tests = run_count(plan)
    say(f"runs: {pretrainings} pretrainings, {trainings} trainings, {tests} tests; {slots} at a time")
    say(f"time: {_time(plan, slots, expected)}")


def _print_commands(plan: Plan) -> None:
    for run in first_runs(plan):
        say(f"# {run.title}\n{shlex.join(run.command())}")
    for cell in plan.cells:
        test = plan.test(chosen_or_first(plan, cell))
        chosen = ", with the chosen rate, for example" if search_runs(plan, cell) else ""
        say(f"# {test.title}{chosen}\n{shlex.join(test.command())}")


def _time(plan: Plan, slots: int, expected: Mapping[str, float] | None) -> str:
    """Return the time that is left."""
    times, runs = Times(), known_runs(plan)
    waiting: list[Run] = []
    for run in runs:
        record = run.done
        if record is None:
            waiting.append(run)
        else:
            times.learn(run, float(record["seconds"]))
    if not waiting:
        return "every run is done"
    if expected is not None:
        return f"about {clock(makespan(waiting, expected, slots))}, from steps timed on this machine"
    left = times.left(waiting, slots)
    if left is None:
        return "not known before the first pretraining, training and test are done; --time estimates it"
    return f"about {clock(left)}, from the {len(runs) - len(waiting)} runs that are done"


def _keys(keys: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in keys.items()) or "that of the config"
