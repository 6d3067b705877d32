"""``mim3d segment`` with a tiny network, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.exit_status import exit_status
from tests.mim3d.segment.small import HIPPOCAMPUS, KEYS, SMALL, Segment, workflow


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a tiny network, whose masks have more than one value."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(workflow(HIPPOCAMPUS, **SMALL).parser.get_parsed_content("network_def").state_dict(), path)
    return path


@pytest.fixture
def segment(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Segment:
    """``segment(input, key=value)``: exit status, and what is printed; masks go to ``tmp_path/out``."""

    def run(*inputs: Path, flags: tuple[str, ...] = (), **keys: str) -> tuple[int, str]:
        words = ["segment", "seg_msd_hippocampus", *map(str, inputs), "--out", str(tmp_path / "out")]
        given = {"weights": str(weights), **KEYS, **keys}
        words += [word for key, value in given.items() for word in (f"--{key}", value)]
        status = exit_status(*words, *flags)
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run
