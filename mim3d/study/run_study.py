"""A study from its file to its report: the stages, in order."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from custom_components.config_text import check_no_hash
from custom_components.stopping import Stopped
from mim3d.study.comparison import compare, rank_arms
from mim3d.study.config_checks import check_configs
from mim3d.study.devices import Slot, make_slots
from mim3d.study.dry_run import print_plan
from mim3d.study.find_data import find_data
from mim3d.study.folder import check_same_data, open_folder
from mim3d.study.pictures import Shown, shown_cases
from mim3d.study.plan import Plan, make_plan
from mim3d.study.progress import say
from mim3d.study.read import read_study
from mim3d.study.report import write_report
from mim3d.study.results import Results
from mim3d.study.runs import Run
from mim3d.study.scheduler import Failure, Scheduler
from mim3d.study.stages import chosen_runs, first_runs, known_runs
from mim3d.study.timing import expected_seconds


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        results: its tested cells.
        shown: the test cases that its report shows.
    """

    results: Results
    shown: list[Shown]


def run_study(arguments: argparse.Namespace, file: Path, on: Path | None = None) -> Outcome | None:
    """Run a study, or print its plan.

    Args:
        arguments: those of ``mim3d study``.
        file: the study file.
        on: a file with the keys of a data set, which replaces the study's own ``base``.

    Returns:
        What it found; None if only the plan was printed.

    Raises:
        StudyError: for mistakes in the study file, its keys, or its data.
        ValueError: for a folder or device that cannot be used; when runs failed.
        KeyboardInterrupt, Stopped: when a signal ends the study.
    """
    study, out = read_study(file, on), arguments.out.resolve()
    check_no_hash(out, "--out")
    slots = make_slots(arguments.devices, arguments.parallel)
    planned = make_plan(study, find_data(study, arguments.dataset_dir, out, True), out, arguments.budget)
    check_configs(planned)
    if arguments.dry_run:
        print_plan(planned, len(slots), expected=_expected(planned, slots) if arguments.time else None)
        return None
    with open_folder(out, study.name), says_how_to_go_on():
        plan = make_plan(study, find_data(study, arguments.dataset_dir, out, False), out, arguments.budget)
        check_same_data(out, plan.data)
        plan.write_lists()
        expected = _expected(plan, slots) if arguments.time else None
        print_plan(plan, len(slots), commands=False, expected=expected)
        scheduler = Scheduler(slots)
        for run in known_runs(plan):
            if expected and run.digest in expected:
                scheduler.times.expect(run, expected[run.digest])
        outcome = _run(plan, scheduler)
        _end(scheduler.failures)
        return outcome


def _expected(plan: Plan, slots: Sequence[Slot]) -> dict[str, float]:
    """Return the seconds of each run that is not done yet."""
    return expected_seconds(plan, [run for run in known_runs(plan) if run.done is None], slots)


def _run(plan: Plan, scheduler: Scheduler) -> Outcome:
    """Run the stages and write the report."""
    # The tests come after every choice; until then the training of the first candidate stands for them.
    tests = [plan.test(plan.training(cell, plan.candidates(cell.arm)[0])) for cell in plan.cells]
    scheduler.run(first_runs(plan), later=tests)
    trainings = chosen_runs(plan)
    scheduler.run(trainings, later=tests)
    tests = [plan.test(run) for run in trainings]
    scheduler.run(tests)
    results = Results(plan)
    shown = shown_cases(results, compare(results), rank_arms(results)[0])
    pictures = [run for one in shown for run in one.runs.values()]
    scheduler.run(pictures)
    seconds = total_seconds([*first_runs(plan), *trainings, *tests, *pictures])
    page = write_report(results, shown, scheduler.failures, seconds)
    say(f"report: {page}")
    return Outcome(results, shown)


def total_seconds(runs: Sequence[Run]) -> float:
    """Return the seconds that the runs which are done took, each counted once."""
    records = {run.digest: run.done for run in runs}
    return sum(float(record["seconds"]) for record in records.values() if record is not None)


def _end(failures: Sequence[Failure]) -> None:
    """Print the runs that failed, and raise ValueError if there are any."""
    for failure in failures:
        say(f"FAILED {failure.job.title}: {failure.reason}")
    if failures:
        raise ValueError(f"{len(failures)} runs failed; they are listed above and in the report")


@contextmanager
def says_how_to_go_on() -> Iterator[None]:
    """Say how to go on with a study that Ctrl-C or SIGTERM ends."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        say("the study was ended; run the same command again to go on")
        raise
