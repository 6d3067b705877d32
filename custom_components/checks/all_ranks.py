"""Checks on every rank, so that all ranks end together: one message, one exit status, no rank left waiting."""

from __future__ import annotations

from collections.abc import Callable

from custom_components.distributed import gather_objects, rank


def run_on_all_ranks(checks: Callable[[], str]) -> None:
    """Run the checks; when any rank finds a fault, end all ranks.

    Args:
        checks: raises ValueError or OSError for a fault; otherwise returns the text that rank 0 prints.

    Raises:
        SystemExit: on every rank when a check on any rank found a fault; on rank 0 with ``error: ...``.
    """
    report = ""
    failure: Exception | None = None
    try:
        report = checks()
    except Exception as error:  # any exception: this rank must reach the exchange, or the others wait for it
        failure = error
    found = next(filter(None, gather_objects(_one_line(failure))), None)
    if failure is not None and not isinstance(failure, (ValueError, OSError)):
        raise failure  # a defect in the check itself: the traceback is needed
    if found:
        raise SystemExit(f"error: {found}" if rank() == 0 else 1)
    if rank() == 0 and report:
        print(report, flush=True)


def _one_line(failure: Exception | None) -> str | None:
    return None if failure is None else " ".join(str(failure).split()) or type(failure).__name__
