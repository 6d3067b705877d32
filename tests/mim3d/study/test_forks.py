"""Programs as forks: arguments, environment, log, exit status, and their end with this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mim3d.children import end_groups
from mim3d.study.forks import Fork, ForkServer

pytestmark = pytest.mark.skipif(not ForkServer.available(), reason="not Linux")

PROGRAM = """
import json, os, sys
import torch
if __name__ == "__main__":
    print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["COLOUR"], torch.get_num_threads(), os.getsid(0)]))
    print("to stderr", file=sys.stderr)
    {end}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ForkServer, Path]]:
    folder = tmp_path_factory.mktemp("programs")
    patch = pytest.MonkeyPatch()
    patch.setattr("mim3d.study.forks.PRELOADED", [])
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    yield ForkServer(folder, threads=1), folder
    patch.undo()


def start(server: tuple[ForkServer, Path], name: str, end: str) -> tuple[Fork, Path]:
    folder, log = server[1], server[1] / f"{name}.txt"
    (folder / f"{name}.py").write_text(PROGRAM.format(end=end))
    return server[0].start(name, ["--key", "a b"], log, {"COLOUR": "green"}), log


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("pass", 0, "to stderr"),
        ("sys.exit(3)", 3, "to stderr"),
        ("sys.exit('error: no volume')", 1, "error: no volume"),
        ("raise ValueError('bad')", 1, "ValueError: bad"),
        ("os.kill(os.getpid(), 9)", -9, "to stderr"),
    ],
)
def test_a_program_runs_as_python_m_does(
    server: tuple[ForkServer, Path], request: pytest.FixtureRequest, end: str, status: int, last: str
) -> None:
    fork, log = start(server, f"program_{abs(hash(end))}", end)
    assert fork.wait(60) == status == fork.poll()
    lines = log.read_text().splitlines()
    assert json.loads(lines[0]) == [["--key", "a b"], str(server[1]), "green", 1, fork.pid]
    assert lines[-1] == last


def test_a_group_of_a_fork_can_be_ended(server: tuple[ForkServer, Path]) -> None:
    fork, log = start(server, "sleeper", "import time; time.sleep(100)")
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.2)
    assert fork.poll() is None
    while not log.exists() or "to stderr" not in log.read_text():
        time.sleep(0.05)
    end_groups([fork], 30)
    assert fork.poll() == -signal.SIGTERM


def test_programs_end_with_the_server(server: tuple[ForkServer, Path]) -> None:
    fork, log = start(server, "orphan", "import time; time.sleep(100)")
    while not log.exists() or "to stderr" not in log.read_text():
        time.sleep(0.05)
    server[0]._server.kill()
    assert fork.wait(30) == -signal.SIGKILL
    end = time.monotonic() + 30
    while Path(f"/proc/{fork.pid}").exists() and "zombie" not in Path(f"/proc/{fork.pid}/status").read_text(
        encoding="utf-8"
    ):
        assert time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(ChildProcessError, match="has ended"):
        server[0].start("sleeper", [], log, {})
