"""Checks on every rank, so that all ranks end together: one message, one exit status, no rank left waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from custom_components.distributed import gather_objects, rank, world_size

Given = TypeVar("Given")
Result = TypeVar("Result")


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


def map_over_ranks(function: Callable[[Sequence[Given]], list[Result]], items: Sequence[Given]) -> list[Result]:
    """Return ``function`` of all items, in their order; each rank calls it with its share.

    All ranks must call this.

    Args:
        function: takes some of the items, and returns one result for each.
        items: the same on every rank.

    Returns:
        The results; empty on a rank without a fault while another rank found one.

    Raises:
        Exception: what ``function`` raised on this rank, after the exchange.
    """
    failure: Exception | None = None
    own: list[Result] | None = None
    try:
        own = function(items[rank() :: world_size()])
    except Exception as error:  # any exception: this rank must reach the exchange, or the others wait for it
        failure = error
    shares = gather_objects(own)
    if failure is not None:
        raise failure
    whole = [share for share in shares if share is not None]
    if len(whole) < len(shares):
        return []
    return [whole[place % len(whole)][place // len(whole)] for place in range(len(items))]
