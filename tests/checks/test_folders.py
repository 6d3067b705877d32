"""A folder that cannot be made is named before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.checks import OutputFolder


def test_a_folder_below_a_file_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    OutputFolder(str(tmp_path / "new" / "out"))()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("kept")
    for path in ("file", "file/out", "file/a/b"):
        with pytest.raises(ValueError, match=rf"output_dir .*{path} cannot be made: .*/file is a file"):
            OutputFolder(str(tmp_path / path))()
    assert (tmp_path / "file").read_text() == "kept"


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="cannot be made: .*/link is a link to nowhere"):
        OutputFolder(str(tmp_path / "link"))()
