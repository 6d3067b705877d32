"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from custom_components.atomic import partial_path, save_tensors, write_atomically, write_together
from custom_components.faults import Fault


def test_the_file_appears_with_its_folder_and_nothing_else(tmp_path: Path) -> None:
    given: list[Path] = []

    def write(path: Path) -> None:
        given.append(path)
        path.write_text("new", encoding="utf-8")

    target = tmp_path / "a" / "b" / "case.nii.gz"
    write_atomically(target, write)
    assert target.read_text(encoding="utf-8") == "new"
    assert list(target.parent.iterdir()) == [target]
    (partial,) = given
    assert partial.parent == target.parent
    assert partial.name.startswith(".")
    assert partial.name.endswith(".nii.gz")


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "list.json"
    target.write_text("old", encoding="utf-8")

    def fail(path: Path) -> None:
        path.write_text("half", encoding="utf-8")
        raise error

    with pytest.raises(error):
        write_atomically(target, fail)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "list.json"
    given: list[Path] = []
    write_atomically(target, lambda path: (given.append(path), path.write_text("1")))
    given[0].write_text("left behind")
    write_atomically(target, lambda path: path.write_text("2"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["2"]


def test_a_full_disk_is_one_line_with_file_space_and_what_is_intact(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half", encoding="utf-8")
        raise RuntimeError("closing failed") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writers = {first: lambda path: path.write_text("new"), second: fail}
    with pytest.raises(
        Fault, match=r"b.json cannot be written: No space left on device \(.* free in .*\); a.json from before is"
    ):
        write_together(writers)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "old")]
    write_together(writers | {second: lambda path: path.write_text(partial_path(first).read_text() + "er")})
    assert (first.read_text(), second.read_text()) == ("new", "newer")


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="cannot be written: .*; no earlier file was there"):
        write_atomically(tmp_path / "file" / "a.json", lambda path: path.write_text("x"))


def test_a_file_that_a_writer_reads_is_not_taken_for_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"):
        write_atomically(tmp_path / "a.json", lambda path: path.write_text((tmp_path / "source").read_text()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_real_full_device_is_one_line_for_tensors(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    partial_path(target).symlink_to("/dev/full")
    with pytest.raises(Fault, match="model.pt cannot be written: No space left on device"):
        save_tensors(target, {"a": torch.zeros(100_000)})
    assert list(tmp_path.iterdir()) == []
