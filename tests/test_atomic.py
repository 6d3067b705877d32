"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.atomic import write_atomically


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
