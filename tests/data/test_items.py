from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.data.items import listed_items


def test_an_empty_dataset_dir_gives_no_items_where_allowed() -> None:
    assert listed_items(dataset_dir="", section="training", allow_missing=True) == []


def test_a_wrong_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: dataset_dir .*nothing does not exist"):
        listed_items(dataset_dir=str(tmp_path / "nothing"), section="training")


def test_other_ranks_are_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as caught:
        listed_items(dataset_dir=str(tmp_path / "nothing"), section="training")
    assert caught.value.code == 1
