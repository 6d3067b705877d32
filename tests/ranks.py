"""Several ranks in a test: processes that meet over gloo."""

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
    """Call ``function(rank, folder, *arguments)`` on every rank of a new group, in a spawned process each.

    What a rank finds it writes into ``folder``. Where one raises, all end, and the tracebacks are raised here.

    Args:
        function: at the top level of its module, so that a spawned process finds it.
        folder: where the ranks meet; pickled like ``arguments``.
        arguments: more of them.
        ranks: processes.

    Raises:
        RuntimeError: with the traceback of every rank that raised.
    """
    (folder / "rendezvous").unlink(missing_ok=True)
    try:
        multiprocessing.spawn(_one_rank, (function, folder, arguments, ranks), nprocs=ranks)
    except multiprocessing.ProcessExitedException as end:
        told = [path.read_text() for path in sorted(folder.glob("rank*.traceback"))]
        raise RuntimeError("\n".join([str(end), *told])) from None


def _one_rank(
    rank: int, function: Callable[..., None], folder: Path, arguments: tuple[Any, ...], ranks: int
) -> None:
    """Run one rank, and leave without the interpreter's own end.

    Threads of gloo outlive the function, and may still have to let go of a tensor that Python knows. A thread that
    asks for Python's lock while the interpreter is ending is ended in the middle of C++, which aborts the process:
    "terminate called without an active exception", now and then, on a busy machine.
    """
    code = 1
    try:
        torch.set_num_threads(1)
        meeting = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
        function(rank, folder, *arguments)
        dist.destroy_process_group()
        code = 0
    except BaseException:
        # On disk before this rank's connections close, so before any rank fails because of that.
        (folder / f"rank{rank}.traceback").write_text(f"rank {rank}: {traceback.format_exc()}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
