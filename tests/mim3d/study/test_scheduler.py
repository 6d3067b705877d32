"""The scheduler with small scripts: order, parallel runs, failures, and going on after the end of a study."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.catalog import ROOT
from mim3d.study.devices import Slot, available_cores, make_slots
from mim3d.study.scheduler import Scheduler
from tests.mim3d.study.stubs import stub, training

CPU = Slot("cpu", ())
NOTE = "from pathlib import Path; Path({file!r}).open('a').write({text!r})"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_a_run_starts_after_what_it_needs_and_once(tmp_path: Path) -> None:
    order = str(tmp_path / "order")
    first = stub(tmp_path, "first", NOTE.format(file=order, text="1"))
    second = stub(tmp_path, "second", NOTE.format(file=order, text="2"), needs=("first",))
    Scheduler([CPU, CPU]).run([second, first, second])
    assert Path(order).read_text(encoding="utf-8") == "12"
    again = Scheduler([CPU])
    again.run([first, second])
    assert Path(order).read_text(encoding="utf-8") == "12"  # both were done
    assert again.failures == []


def test_slots_run_at_the_same_time(tmp_path: Path) -> None:
    meet = (
        "import time; from pathlib import Path; folder = Path({folder!r}); (folder / {own!r}).touch()\n"
        "end = time.time() + 20\n"
        "while not (folder / {other!r}).exists():\n    assert time.time() < end\n    time.sleep(0.01)"
    )
    scripts = {a: meet.format(folder=str(tmp_path), own=f"{a}_", other=f"{b}_") for a, b in ("xy", "yx")}
    scheduler = Scheduler([CPU, CPU])
    scheduler.run([stub(tmp_path, name, script) for name, script in scripts.items()])
    assert [failure.reason for failure in scheduler.failures] == []


def test_a_failed_run_is_listed_with_its_log_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = stub(tmp_path, "bad", "import sys; print('working', flush=True); sys.exit('error: no such volume')")
    lost = stub(tmp_path, "lost", needs=("bad",))
    good = stub(tmp_path, "good")
    empty = stub(tmp_path, "empty", epochs=1)  # a training that leaves no weights
    scheduler = Scheduler([CPU])
    scheduler.run([bad, lost, good, empty])
    reasons = {failure.job.title: failure.reason for failure in scheduler.failures}
    assert set(reasons) == {"bad", "lost", "empty"}
    assert reasons["bad"].startswith("exit status 1; end of ")
    assert reasons["bad"].endswith("    working\n    error: no such volume")
    assert reasons["lost"] == "not started, because 'bad' failed"
    assert reasons["empty"].startswith("it ended without model.pt, model.card.json in ")
    assert good.done is not None
    printed = capsys.readouterr().out
    assert "FAILED bad in " in printed
    assert "done good in 0 s; 3 of 4 runs, time left" in printed


def test_a_run_gets_its_device_threads_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    script = (
        "import os, json; print(json.dumps([os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'],"
        " sorted(os.sched_getaffinity(0))]))"
    )
    core = available_cores()[-1]
    Scheduler([Slot("cuda:3", (core,))]).run([stub(tmp_path, "run", script)])
    assert json.loads((tmp_path / "run" / "log.txt").read_text()) == ["3", "1", [core]]
    kept = (tmp_path / "run" / "command.sh").read_text()
    assert "CUDA_VISIBLE_DEVICES=3 OMP_NUM_THREADS=1" in kept


def test_a_run_gets_one_of_the_gpus_that_a_batch_system_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, found in (("2,3", ["2", "3"]), ("GPU-8a, GPU-9b", ["GPU-8a", "GPU-9b"]), (None, ["0", "1"])):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        slots = [Slot("cuda:0", ()), Slot("cuda:1", ())]
        assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == found
    assert Slot("cpu", ()).environment["CUDA_VISIBLE_DEVICES"] == ""


def test_slots_share_out_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mim3d.study.devices.available_cores", lambda: [0, 2, 3, 5, 7])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [(s.device, s.cores) for s in make_slots(["cpu"], 2)] == [("cpu", (0, 2)), ("cpu", (3, 5))]
    assert [s.device for s in make_slots([], 1)] == ["cuda:0", "cuda:1"]
    for devices, parallel, message in (
        (["gpu"], 1, "--devices has 'gpu'; allowed: cpu, cuda:0"),
        (["cuda:2"], 1, "--devices has cuda:2; this machine has cuda:0, cuda:1"),
        (["cpu", "cpu"], 1, "--devices has cpu twice"),
        (["cpu"], 6, "6 runs at a time need as many CPU cores; there are 5"),
    ):
        with pytest.raises(ValueError, match=message):
            make_slots(devices, parallel)


STUDY = """
import sys
from pathlib import Path
from mim3d.study.devices import Slot
from custom_components.stopping import stop_on_sigterm
from mim3d.study.scheduler import Scheduler
from tests.mim3d.study.stubs import training
stop_on_sigterm()
Scheduler([Slot("cpu", ())]).run([training(Path(sys.argv[1]))])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_study_ended_by_a_signal_ends_its_runs_and_goes_on_where_it_was(tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(tmp_path)], env=environment, cwd=ROOT)
    run = training(tmp_path)
    wait_for(lambda: run.resumable)  # the first of two epochs is saved
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(study.pid)], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    study.send_signal(number)
    study.wait(30)
    (child,) = map(int, children[:1])
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert run.done is None

    (tmp_path / "go").touch()
    scheduler = Scheduler([CPU])
    scheduler.run([run])
    assert scheduler.failures == []
    assert (run.folder / "log.txt").read_text().splitlines() == ["begins after epoch 0", "begins after epoch 1"]
    record = run.done
    assert record is not None
    assert record["seconds"] > 0
    assert not (run.folder / "resume.pt").exists()
