"""A fault ends a program with one line from wherever it was raised; other exceptions keep their traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from custom_components.faults import Fault, fault_in

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import logging
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Transform
from ignite.engine import Engine
from custom_components.faults import Fault, end_faults_in_one_line

class Load(Transform):  # CacheDataset calls nothing else
    def __call__(self, item):
        if item == 3:
            raise {raised}
        return item

logging.basicConfig(level=logging.INFO)
end_faults_in_one_line()
end_faults_in_one_line()
if __name__ == "__main__":
    if {cached}:
        CacheDataset(list(range(5)), Load(), num_workers=2, progress=False)
    else:
        loader = DataLoader(Dataset(list(range(5)), Load()), num_workers={workers})
        Engine(lambda engine, batch: None).run(loader)
"""


def run(tmp_path: Path, raised: str, cached: bool = False, workers: int = 0) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(PROGRAM.format(raised=raised, cached=cached, workers=workers))
    return subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True,
        encoding="utf-8",
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("cached", "workers"), [(True, 0), (False, 0), (False, 1)])
def test_a_fault_in_a_transform_is_one_line(tmp_path: Path, cached: bool, workers: int) -> None:
    done = run(tmp_path, "Fault('/data/a b.nii.gz holds 2 voxels\\nthat are not finite')", cached, workers)
    assert done.returncode == 1
    # The text of a worker ends at its first line.
    message = "error: /data/a b.nii.gz holds 2 voxels" + ("" if workers else " that are not finite")
    assert [line for line in done.stderr.splitlines() if "Fault" in line or "Traceback" in line] == []
    assert done.stderr.splitlines()[-1] == message


@pytest.mark.slow
def test_another_exception_keeps_its_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "KeyError('x')", workers=1)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'x'" in done.stderr


def test_the_fault_is_found_behind_other_exceptions() -> None:
    def fail(error: BaseException) -> BaseException:
        try:
            try:
                raise Fault("a\n b")
            except Fault as fault:
                raise error from fault
        except BaseException as outer:
            return outer

    assert fault_in(fail(RuntimeError("outer"))) == "a b"
    assert fault_in(RuntimeError("outer")) is None
    assert fault_in(RuntimeError("Traceback:\ncustom_components.faults.Fault: in a worker\n")) == "in a worker"
    assert fault_in(RuntimeError("NoFault: at all")) is None
    assert fault_in(None) is None
