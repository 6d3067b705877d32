"""Fuzzer: random damage to a small valid data set, through list, training, evaluation and inference.

``python -m tests.robustness.fuzz --count 200 --seed 0`` runs 200 cases; each is a process of its own. Every line
shows what repeats the case alone: ``--seed 0 --case 17``. The status is 1 if a case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tests.robustness import damage_bytes, damage_files, damage_names, damage_voxels
from tests.robustness.case import Outcome, prepare, run_case
from tests.robustness.damage import DAMAGES
from tests.robustness.dataset import Whole
from tests.robustness.stages import limit_memory

#: The modules that fill the table of damages.
TABLES = (damage_bytes, damage_voxels, damage_names, damage_files)
_SECONDS = 120
_GIGABYTES = 8.0


def run_alone(name: str | None, seed: int, number: int, whole: Whole, folder: Path) -> Outcome:
    """Run a case in a process of its own, so that neither a crash nor changed settings reach the next case.

    Args:
        name: of the damage; None: drawn from seed and number.
        seed: of the fuzzer's run.
        number: of the case.
        whole: the undamaged set.
        folder: an empty folder.
    """
    report = folder / "outcome.json"
    child = os.fork()
    if child == 0:
        _child(name, seed, number, whole, folder, report)
    end = time.monotonic() + _SECONDS
    status = None
    while status is None and time.monotonic() < end:
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
        time.sleep(0.02)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Outcome(name or "drawn", "", problems=[f"no end after {_SECONDS} s"])
    if not report.is_file():
        return Outcome(name or "drawn", "", problems=[f"the process ended with status {status}"])
    return Outcome(**json.loads(report.read_text()))


def _child(name: str | None, seed: int, number: int, whole: Whole, folder: Path, report: Path) -> None:
    limit_memory(_GIGABYTES)
    try:
        outcome = run_case(name, np.random.default_rng([seed, number]), whole, folder)
    except BaseException:  # a defect of the fuzzer itself
        outcome = Outcome(name or "drawn", "", problems=[traceback.format_exc()])
    report.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    os._exit(0)


def main() -> None:
    """Run cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="number of cases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default: %(default)s)")
    parser.add_argument("--case", type=int, help="run this case alone, and keep its folder")
    parser.add_argument("--damage", choices=sorted(DAMAGES), help="do this damage in each case")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="fuzz_"))
    whole = prepare(root / "prepared")
    failed: Counter[str] = Counter()
    numbers = range(chosen.count) if chosen.case is None else [chosen.case]
    for number in numbers:
        folder = root / f"case_{number}"
        folder.mkdir()
        start = time.monotonic()
        outcome = run_alone(chosen.damage, chosen.seed, number, whole, folder)
        verdict = "FAILED" if outcome.problems else "ok"
        failed[outcome.damage] += bool(outcome.problems)
        again = f"--seed {chosen.seed} --case {number}" + (f" --damage {chosen.damage}" if chosen.damage else "")
        print(f"{verdict:6} {again}: {outcome.damage}: {outcome.text} ({time.monotonic() - start:.1f} s)")
        shown = outcome.problems + (outcome.lines if outcome.problems or chosen.case is not None else [])
        print("".join(f"         {line}\n" for line in shown), end="", flush=True)
        if chosen.case is None:
            shutil.rmtree(folder)
    if chosen.case is None:
        shutil.rmtree(root)
    else:
        print(f"kept: {root}")
    total = sum(failed.values())
    print(f"{total} of {len(numbers)} cases failed" + "".join(f"; {k} {n}" for k, n in failed.items() if n))
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
