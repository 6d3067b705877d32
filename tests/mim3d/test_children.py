"""A program that a command started ends when the command ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mim3d.children import end_groups, start_child

ROOT = Path(__file__).resolve().parents[2]
#: Starts a child, which starts a grandchild; both write their ids.
PARENT = """
import sys
from custom_components.stopping import stop_on_sigterm
from mim3d.children import end_groups, start_child
stop_on_sigterm()
child = start_child([sys.executable, "-c", CHILD])
try:
    child.wait()
finally:
    end_groups([child])
"""
CHILD = """
import os, pathlib, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else PIDS).write_text(f"{os.getpid()} {inner.pid}")
time.sleep(60)
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_for(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, -signal.SIGINT),
        pytest.param(
            signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
        ),
    ],
)
def test_the_child_ends_with_its_parent(tmp_path: Path, sent: int, status: int) -> None:
    pids = tmp_path / "pids"
    child = CHILD.replace("sys.argv[1] if len(sys.argv) > 1 else PIDS", repr(str(pids)))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("CHILD", repr(child))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    inner, innermost = map(int, pids.read_text().split())
    parent.send_signal(sent)
    assert parent.wait(30) == status
    assert wait_for(lambda: gone(inner))
    if sent != signal.SIGKILL:  # the kernel signals the child alone; a training ends its own workers
        assert wait_for(lambda: gone(innermost))
    else:
        os.kill(innermost, signal.SIGKILL)


#: Notes each SIGTERM, and ends by itself some time after the first one.
SLOW = """
import pathlib, signal, sys, time
note, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: note.open("a").write("SIGTERM "))
note.write_text("")
while not note.read_text():
    time.sleep(0.02)
time.sleep(seconds)
note.open("a").write("saved")
"""


def test_programs_are_asked_once_and_end_side_by_side(tmp_path: Path) -> None:
    notes = [tmp_path / "a", tmp_path / "b"]
    commands = [
        [sys.executable, "-c", SLOW, str(note), seconds] for note, seconds in zip(notes, "12", strict=True)
    ]
    processes = [start_child(command) for command in commands]
    assert wait_for(lambda: all(note.exists() for note in notes))
    end_groups(processes)
    assert [note.read_text() for note in notes] == ["SIGTERM saved"] * 2
    assert [process.returncode for process in processes] == [0, 0]
    stubborn = start_child([sys.executable, "-c", SLOW, str(tmp_path / "c"), "60"])
    assert wait_for((tmp_path / "c").exists)
    end_groups([stubborn], 0.2)
    assert stubborn.returncode == -signal.SIGKILL
