"""The folder of a release is complete or absent, and never replaces anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.faults import Fault
from mim3d.release.build import digests, put_release


def write(folder: Path) -> None:
    (folder / "hub").mkdir()
    (folder / "hub" / "README.md").write_text("card")
    (folder / "checksums.txt").write_text("sums")


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "out"

    def half(folder: Path) -> None:
        write(folder)
        assert not out.exists()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        put_release(out, half)
    assert list(out.parent.iterdir()) == []
    assert put_release(out, write)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert sorted(digests(out)) == ["checksums.txt", "hub/README.md"]


def test_what_a_killed_process_left_does_not_get_into_the_release(tmp_path: Path) -> None:
    (tmp_path / ".tmp_out").mkdir()
    (tmp_path / ".tmp_out" / "half.zip").write_text("half")
    put_release(tmp_path / "out", write)
    assert sorted(digests(tmp_path)) == ["out/checksums.txt", "out/hub/README.md"]


def test_the_same_release_is_kept_and_another_one_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert put_release(out, write)  # an empty folder is fine
    before = (out / "checksums.txt").stat().st_ino
    assert not put_release(out, write)
    assert (out / "checksums.txt").stat().st_ino == before
    (out / "hub" / "README.md").write_text("edited")
    (out / "own.txt").write_text("mine")
    found = digests(out)
    with pytest.raises(
        Fault, match=r"holds something else than this release, such as hub/README\.md; give another"
    ):
        put_release(out, write)
    assert digests(out) == found
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_and_a_folder_of_someone_else_are_refused_before_any_work(tmp_path: Path) -> None:
    def never(folder: Path) -> None:
        raise AssertionError

    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path):
        with pytest.raises(Fault, match="is not a folder of a release; give another --out"):
            put_release(out, never)
    assert sorted(digests(tmp_path)) == ["file"]
