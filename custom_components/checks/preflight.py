"""The preflight: a config's named checks, called in order before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from custom_components.checks.all_ranks import run_on_all_ranks
from custom_components.distributed import rank
from custom_components.faults import end_faults_in_one_line
from custom_components.stopping import stop_on_sigterm

Check = Callable[[], str | None]


class Preflight:
    """Call named checks in order; the first fault ends the run with one line, before the first volume is loaded.

    Their names are printed first, so that the user sees at once what the run does. A check raises ValueError with
    one message, or returns what to print. A layer of the config switches a check off by its name
    (``checks#memory: null``), replaces it, or adds one. Faults found later in the run, such as a damaged volume,
    end it with one line too.

    Args:
        checks: name -> check; None is skipped.
    """

    def __init__(self, checks: Mapping[str, Check | None]) -> None:
        self.checks = {name: check for name, check in checks.items() if check is not None}

    def __call__(self) -> None:
        """Run the checks on every rank.

        Raises:
            SystemExit: on all ranks when a check on any rank found a fault; rank 0 prints ``error: ...``.
        """
        end_faults_in_one_line()
        stop_on_sigterm()
        if rank() == 0 and self.checks:
            print(f"checking before the run: {', '.join(self.checks)}", flush=True)
        for name, check in self.checks.items():
            run_on_all_ranks(partial(_line, name, check))  # each by itself, because a check may exchange as well


def _line(name: str, check: Check) -> str:
    message = check()
    return f"checked {name}: {message}" if message else ""
