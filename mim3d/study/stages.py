"""Which runs belong to which stage: before and after the choice of the learning rates."""

from __future__ import annotations

from mim3d.study.arms import Cell
from mim3d.study.choice import choose, search_runs
from mim3d.study.plan import Plan
from mim3d.study.runs import Run


def first_runs(plan: Plan) -> list[Run]:
    """Return pretrainings, then the trainings that need no choice: rate searches, and cells with one candidate."""
    pretrainings, trainings = {}, {}
    for cell in plan.cells:
        if not cell.arm.from_scratch:
            run = plan.pretraining(cell.arm, cell.seed)
            pretrainings[run.digest] = run
        searched = [run for _, _, run in search_runs(plan, cell)]
        for run in searched or [plan.training(cell, plan.candidates(cell.arm)[0])]:
            trainings[run.digest] = run
    # Pretrainings take longest and others wait for them; trainings from scratch fill the free slots.
    return [*pretrainings.values(), *sorted(trainings.values(), key=lambda run: bool(run.needs))]


def chosen_runs(plan: Plan) -> list[Run]:
    """Return the training of each cell with the chosen candidate; cells without one are left out."""
    chosen = [(cell, choose(plan, cell)) for cell in plan.cells]
    return [plan.training(cell, keys) for cell, keys in chosen if keys is not None]


def run_count(plan: Plan) -> tuple[int, int, int]:
    """Return the numbers of pretrainings, trainings and tests, before rates are chosen."""
    first = first_runs(plan)
    pretrainings = sum(run.kind == "pretraining" for run in first)
    # With a rate search, the cells on whose seeds no candidate was tried still need a training.
    tried = {
        (t[0].arm.identity, t[0].labels, t[0].seed, t[0].steps) for c in plan.cells for t in search_runs(plan, c)
    }
    more = sum(
        len(plan.candidates(cell.arm)) > 1 and (cell.arm.identity, cell.labels, cell.seed, cell.steps) not in tried
        for cell in plan.cells
    )
    return pretrainings, len(first) - pretrainings + more, len(plan.cells)


def chosen_or_first(plan: Plan, cell: Cell) -> Run:
    """Return a cell's training with the chosen candidate, or with the first while none is chosen."""
    keys = choose(plan, cell)
    return plan.training(cell, plan.candidates(cell.arm)[0] if keys is None else keys)


def known_runs(plan: Plan) -> list[Run]:
    """Return the runs that a plan needs, each once, as far as they are known before rates are chosen."""
    chosen = [chosen_or_first(plan, cell) for cell in plan.cells]
    runs = [*first_runs(plan), *chosen, *(plan.test(run) for run in chosen)]
    return list({run.digest: run for run in runs}.values())
