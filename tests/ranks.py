"""Run a function on several ranks: processes that form a gloo group."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing


def run_ranks(function: Callable[..., None], folder: Path, *arguments: Any, ranks: int = 2) -> None:
    """Call ``function(rank, folder, *arguments)`` in a new process for each rank of a new group.

    The function writes its results into ``folder``. If it raises on one rank, all ranks end.

    Args:
        function: defined at the top level of its module, so that a spawned process can import it.
        folder: existing folder; the ranks find each other by a file in it.
        arguments: further arguments, which must pickle.
        ranks: number of processes.

    Raises:
        RuntimeError: with the traceback of each rank that raised.
    """
    (folder / "rendezvous").unlink(missing_ok=True)
    try:
        multiprocessing.spawn(_one_rank, (function, folder, arguments, ranks), nprocs=ranks)
    except multiprocessing.ProcessExitedException as end:
        tracebacks = [path.read_text() for path in sorted(folder.glob("rank*.traceback"))]
        raise RuntimeError("\n".join([str(end), *tracebacks])) from None


def _one_rank(
    rank: int, function: Callable[..., None], folder: Path, arguments: tuple[Any, ...], ranks: int
) -> None:
    """Run one rank, and exit without the interpreter's shutdown.

    gloo's threads outlive the function and may still release a tensor. If such a thread waits for Python's lock
    during shutdown, the process aborts with "terminate called without an active exception". This happens now and
    then on a busy machine.
    """
    code = 1
    try:
        torch.set_num_threads(1)
        method = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=method, rank=rank, world_size=ranks)
        function(rank, folder, *arguments)
        dist.destroy_process_group()
        code = 0
    except BaseException:
        # Written before this rank's connections close, because that makes the other ranks fail.
        (folder / f"rank{rank}.traceback").write_text(f"rank {rank}: {traceback.format_exc()}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
