"""Checks that every rank makes and all ranks end by: one message, one exit status, nobody left waiting."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch.distributed as dist


def run_checks(checks: Callable[[], str]) -> None:
    """Run the checks; on a finding on any rank, end all ranks, rank 0 with the message."""
    told = ""
    failure: Exception | None = None
    try:
        told = checks()
    except Exception as error:  # whatever it is: this rank must reach the exchange, or the others wait for it
        failure = error
    found = next(filter(None, _from_all_ranks(_one_line(failure))), None)
    if failure is not None and not isinstance(failure, (ValueError, OSError)):
        raise failure  # a fault of the guard's own: its traceback is wanted
    if found:
        raise SystemExit(f"error: {found}" if rank() == 0 else 1)
    if rank() == 0:
        print(told, flush=True)


def _one_line(failure: Exception | None) -> str | None:
    return None if failure is None else " ".join(str(failure).split()) or type(failure).__name__


def _from_all_ranks(message: str | None) -> list[str | None]:
    if not (dist.is_available() and dist.is_initialized()):
        return [message]
    messages: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(messages, message)
    return messages


def rank() -> int:
    """This process's rank; before ``init_process_group``, what torchrun gave it."""
    if dist.is_available() and dist.is_initialized():
        return int(dist.get_rank())
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Ranks that exchange messages: before ``init_process_group``, each checks for itself."""
    return int(dist.get_world_size()) if dist.is_available() and dist.is_initialized() else 1
