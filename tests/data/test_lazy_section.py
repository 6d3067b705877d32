"""A section in a config: read when it is needed, and a fault is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser


def test_in_a_config_an_error_is_one_line_and_other_ranks_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "data": {"_target_": "custom_components.data.DataList", "dataset_dir": str(tmp_path / "no")},
        "items": "$@data.section('training')",
    }
    items = ConfigParser(config).get_parsed_content("items")  # nothing is read yet
    with pytest.raises(SystemExit, match="^error: dataset_dir .*no does not exist"):
        len(items)
    with pytest.raises(SystemExit, match="^error: dataset_dir .*no does not exist"):
        ConfigParser({**config, "number": "$len(@items)"}).get_parsed_content("number")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as caught:
        items[0]
    assert caught.value.code == 1
