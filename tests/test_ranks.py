"""Ranks started by a test end well whatever their threads do, and say what went wrong."""

from __future__ import annotations

import atexit
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.ranks import run_ranks

pytestmark = pytest.mark.slow


def meet(rank: int, folder: Path, offset: int) -> None:
    """Leave the sum over ranks in a file, and a thread that would keep the interpreter from ending."""
    atexit.register((folder / f"interpreter_end_{rank}").touch)
    threading.Thread(target=time.sleep, args=(600,)).start()
    number = torch.tensor(rank + offset)
    dist.all_reduce(number)
    print(f"rank {rank} of {dist.get_world_size()}", end="")  # in a buffer until it is flushed
    (folder / f"rank{rank}").write_text(str(int(number)))


def fail(rank: int, folder: Path) -> None:
    """Raise on one rank while the other waits for it."""
    if rank == 1:
        raise ValueError("no such volume")
    dist.barrier()


def test_every_rank_ends_with_its_function(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    for offset in (1, 10):  # a folder can be met in again
        run_ranks(meet, tmp_path, offset)
        assert [(tmp_path / f"rank{rank}").read_text() for rank in range(2)] == [str(2 * offset + 1)] * 2
    assert time.monotonic() - begin < 300
    assert not list(tmp_path.glob("interpreter_end_*"))
    told = capfd.readouterr().out
    assert told.count("rank 0 of 2") == told.count("rank 1 of 2") == 2


def test_an_exception_reaches_the_test_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)rank 1: Traceback.*in fail\n.*ValueError: no such volume"):
        run_ranks(fail, tmp_path)
