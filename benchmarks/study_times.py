"""Estimate how long the shipped studies for a CPU take, two runs at a time; nothing is trained. See README.md.

Steps are timed on random voxels and added up, as `mim3d study --dry_run --time` does for one study.

    python benchmarks/study_times.py                    # all of them; writes the result file
    python benchmarks/study_times.py phantoms_methods   # prints the time of one
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from measuring import commit, machine

from custom_components.atomic import write_json
from mim3d.commands.study import CPU_SETS, find_study, shipped_studies
from mim3d.study.devices import make_slots
from mim3d.study.find_data import find_data
from mim3d.study.plan import make_plan
from mim3d.study.read import read_study
from mim3d.study.stages import known_runs, run_count
from mim3d.study.timing import expected_seconds, makespan

OUT = Path(__file__).resolve().parent / "results" / "study_times.json"
PARALLEL = 2
OTHERS = ("brain_tumours", "brain_tumours_averaging")


def names() -> list[str]:
    """Return the shipped studies that a CPU is enough for; not those whose lists the user makes first."""
    cpu = [name for name in shipped_studies() if name.startswith(CPU_SETS) or name in OTHERS]
    return [name for name in cpu if not name.endswith("_folds")]


def estimate(name: str) -> dict[str, Any]:
    """Return the number of a study's runs, and the minutes that all of them take by the clock."""
    # Results that lie in a study's folder would not be counted, so it is one that does not exist.
    study, out = read_study(*find_study(name)), Path(tempfile.gettempdir()) / "no such folder"
    plan = make_plan(study, find_data(study, None, out, True), out, 1.0)
    slots, runs = make_slots(["cpu"], PARALLEL), known_runs(plan)
    pretrainings, trainings, tests = run_count(plan)
    seconds = makespan(runs, expected_seconds(plan, runs, slots), PARALLEL)
    return {
        "pretrainings": pretrainings,
        "trainings": trainings,
        "tests": tests,
        "minutes": round(seconds / 60),
    }


def main() -> None:
    """Estimate the given studies, or all of them into the result file."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("study", nargs="*", help="name of a shipped study (default: all, into results/)")
    given = parser.parse_args().study
    measured, facts = commit(), machine(torch.device("cpu"))  # before estimating makes the machine busy
    found = {}
    for name in given or names():
        found[name] = estimate(name)
        print(name, found[name], flush=True)
    if not given:
        content = {"benchmark": "study_times", "commit": measured, "machine": facts, "parallel": PARALLEL}
        write_json(OUT, {**content, "studies": found})


if __name__ == "__main__":
    main()
