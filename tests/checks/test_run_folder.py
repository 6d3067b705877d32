"""A folder belongs to one run: its results stay, and no second run writes into it at the same time."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from custom_components.checks import RunFolder, RunLock, run_folder

RESULTS = ["model.pt", "model.card.json", "pretext.pt", "pretext.card.json", "resume.pt"]


@pytest.mark.parametrize("name", RESULTS)
def test_the_results_of_another_run_are_refused_and_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("first")
    with pytest.raises(ValueError, match=rf"holds the results of another run \({name}\): ") as error:
        RunFolder(str(tmp_path))()
    assert "another folder with --ckpt_dir, or replace them with --overwrite True" in str(error.value)
    assert ("continue it with --resume True" in str(error.value)) == (name == "resume.pt")
    RunFolder(str(tmp_path), resume=True)()
    assert RunFolder(str(tmp_path), overwrite=True)() == f"{tmp_path}: {name} will be replaced"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_a_folder_without_results_is_free(tmp_path: Path) -> None:
    assert RunFolder(str(tmp_path / "new"))() is None
    for name in ("transfer.json", "events.out.tfevents.1", ".tmp_model.pt", run_folder.LOCK):
        (tmp_path / name).write_text("of a run that ended before it saved anything")
    assert RunFolder(str(tmp_path))() is None
    RunLock(str(tmp_path))()


def in_another_process(folder: Path, wait: bool = False) -> tuple[int, str]:
    """Lock the folder in a forked process; return its id and what the check said. It ends at once, or never."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        run_folder._held.clear()  # of the parent
        try:
            RunLock(str(folder))()
            os.write(writing, b"locked")
        except ValueError as error:
            os.write(writing, str(error).encode())
        while wait:
            signal.pause()
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    if not wait:
        os.waitpid(child, 0)
    return child, said


def test_a_second_process_is_refused_until_the_first_one_dies(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    child, said = in_another_process(folder, wait=True)
    assert said == "locked"
    try:
        with pytest.raises(ValueError, match=rf"in use by another run \(process {child} on .*\); wait for"):
            RunLock(str(folder))()
        (tmp_path / "link").symlink_to(folder)
        with pytest.raises(ValueError, match="is in use by another run"):
            RunLock(str(tmp_path / "link"))()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    RunLock(str(folder))()
    RunLock(str(folder))()  # the next run of this process
    assert "in use" in in_another_process(folder)[1]


def test_the_results_of_a_run_that_ended_meanwhile_are_seen_under_the_lock(tmp_path: Path) -> None:
    check = RunFolder(str(tmp_path))
    check()
    (tmp_path / "model.pt").touch()
    with pytest.raises(ValueError, match="holds the results of another run"):
        RunLock(str(tmp_path), check)()


def test_a_file_that_an_ending_run_removes_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, real = tmp_path / ".lock", fcntl.lockf
    lock.touch()

    def late(*arguments: Any) -> None:
        if lock.exists() and not lock.read_text():
            lock.unlink()  # between opening and locking
            lock.write_text("another")
        real(*arguments)

    monkeypatch.setattr(fcntl, "lockf", late)
    RunLock(str(tmp_path))()
    assert lock.read_text().startswith(f"process {os.getpid()} on ")


def test_only_rank_zero_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    RunLock(str(tmp_path))()
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with caplog.at_level(logging.WARNING):
        RunLock(str(tmp_path))()
    assert "cannot be locked (No locks available): do not start a second run there" in caplog.text


def test_the_lock_file_is_removed_at_the_end_of_the_process(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        run_folder._held.clear()
        RunLock(str(tmp_path))()
        run_folder._release()
        os._exit(0)
    os.waitpid(child, 0)
    assert list(tmp_path.iterdir()) == []
