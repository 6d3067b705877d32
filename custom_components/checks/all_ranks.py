"""Running checks on every rank so that all ranks end together: one message, one exit status, no rank left waiting."""

from __future__ import annotations

from collections.abc import Callable

from custom_components.distributed import gather_objects, rank


def run_on_all_ranks(checks: Callable[[], str]) -> None:
    """Run the checks; when any rank finds something, end all ranks, rank 0 with the message.

    Args:
        checks: raises ValueError or OSError for a finding; returns the line to print otherwise.

    Raises:
        SystemExit: on every rank, with ``error: ...`` on rank 0, when a check on any rank found something.
    """
    report = ""
    failure: Exception | None = None
    try:
        report = checks()
    except Exception as error:  # any exception: this rank must reach the exchange, or the others wait for it
        failure = error
    found = next(filter(None, gather_objects(_one_line(failure))), None)
    if failure is not None and not isinstance(failure, (ValueError, OSError)):
        raise failure  # a defect of the check itself: its traceback is needed
    if found:
        raise SystemExit(f"error: {found}" if rank() == 0 else 1)
    if rank() == 0:
        print(report, flush=True)


def _one_line(failure: Exception | None) -> str | None:
    return None if failure is None else " ".join(str(failure).split()) or type(failure).__name__
