"""Definitions of quick starts from command lines, without data on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mim3d.choice import choose
from mim3d.cli import parser_of
from mim3d.quickstart.definition import define, write_definition

LISTED = {
    name: [{"image": f"{name}{i}.nii", "label": f"{name}{i}_seg.nii"} for i in range(8)]
    for name in ("unlabelled", "training", "validation", "test")
}
Define = Callable[..., Path]


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    """``listed(channels=["MRI"])``: a data folder with a list of empty files."""

    def write(**content: Any) -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for item in (item for items in LISTED.values() for item in items):
            for name in item.values():
                (folder / name).touch()
        whole = {"labels": {"0": "background", "1": "a"}, "channels": ["CT"], **LISTED, **content}
        (folder / "datalist.json").write_text(json.dumps(whole))
        return folder

    return write


@pytest.fixture
def defined(tmp_path: Path) -> Define:
    """``defined("--budget", "0.1")``: the study file that a command line asks for, in ``tmp_path/out``."""

    def write(*words: str) -> Path:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        arguments = parser_of("quickstart").parse([*words, "--out", str(out)])
        return write_definition(define(arguments, choose(arguments.method, arguments.backbone), out), out)

    return write
