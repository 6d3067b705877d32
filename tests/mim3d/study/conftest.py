"""A small study without data on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mim3d.study.find_data import find_data
from mim3d.study.plan import Plan, make_plan
from mim3d.study.read import read_study

#: Keys that make the networks tiny.
TINY = {"spacing": [2.0, 2.0, 2.0], "roi_size": [32, 32, 32], "architecture#features": [4, 4, 8, 8, 16, 4]}
STUDY: dict[str, Any] = {
    "task": "msd_hippocampus",
    "small": True,
    "data": {"phantoms": {"kind": "hippocampus_mri", "size": "tiny", "training": 4, "validation": 2, "test": 3,
                          "unlabelled": 4}},
    "grid": {"method": ["scratch", "hybridmim"], "labels": [2, 4], "seed": [0, 1], "steps": [8]},
    "pretraining": {"steps": 8},
    "both": TINY,
    "methods": {"hybridmim": {"window_size": [32, 32, 32]}},
    "validations": 2,
}  # fmt: skip
MakePlan = Callable[..., Plan]


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    """``study_file(grid={...}, rates={...})``: the study above with other keys, merged one level deep."""

    def write(**changed: Any) -> Path:
        content = dict(STUDY)
        for key, value in changed.items():
            old = content.get(key)
            content[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def make(study_file: Callable[..., Path], tmp_path: Path) -> MakePlan:
    """``make(grid={...})``: the plan of the study, without data on disk."""

    def plan(**changed: Any) -> Plan:
        study = read_study(study_file(**changed))
        return make_plan(study, find_data(study, None, tmp_path / "out", True), tmp_path / "out")

    return plan
