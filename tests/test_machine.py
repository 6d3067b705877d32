"""What the machine does to a run is one line: a full disk, a stuck or killed data-loader worker."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest
from monai.data import DataLoader, Dataset

from custom_components.faults import fault_in
from custom_components.machine import free_space, os_error_in, readable


def stuck(item: int) -> int:
    time.sleep(20)
    return item


def killed(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (stuck, "gave no batch for 1 s: a worker is stuck, or files are read very slowly; raise worker_timeout"),
        (killed, "often because memory ran out; lower num_workers or cache_rate"),
    ],
)
def test_a_worker_that_gives_no_batch_is_one_line(transform, message: str) -> None:
    loader = DataLoader(Dataset([1, 2], transform), num_workers=1, timeout=1)
    with pytest.raises(RuntimeError) as error:
        next(iter(loader))
    assert message in str(fault_in(error.value))


def test_a_full_disk_is_one_line_behind_other_exceptions() -> None:
    error = RuntimeError("applying a transform")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/a.nii.gz")
    expected = (
        "/out/a.nii.gz cannot be written: No space left on device; files that were complete before are unchanged"
    )
    assert fault_in(error) == expected
    assert fault_in(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert os_error_in(error) is error.__cause__
    assert os_error_in(ValueError()) is None


def test_free_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    assert free_space(tmp_path / "a" / "b.pt").endswith(f" free in {tmp_path}")
    assert [readable(size) for size in (12, 1500, 2.5e6, 3e9)] == ["12 bytes", "1.5 kB", "2.5 MB", "3.0 GB"]
