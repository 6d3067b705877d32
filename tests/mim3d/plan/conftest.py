"""Surveys of folders that exist in tests only, and phantoms to plan for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from custom_components.checks.hounsfield import Finding
from mim3d.phantoms import write_phantoms
from mim3d.plan.survey import CaseFacts, ChannelFacts, Survey
from tests.mim3d.plan.planned import COUNTS, renumber

HU = ChannelFacts(-1024, 1500, None, True)
MR = ChannelFacts(0, 900, Finding("no HU", "check the modality"), False)


@pytest.fixture
def make_survey() -> Callable[..., Survey]:
    """``make_survey(...)``: what a folder holds, stated instead of read."""

    def make(
        names: Sequence[str] = (),
        channels: Sequence[ChannelFacts] = (MR,),
        labels: dict[int, str] | None = None,
        values: Sequence[dict[int, float] | None] = (None,),
        shape: Sequence[int] = (100, 100, 100),
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        zero: float = 0.0,
        foreground: Sequence[float] | None = None,
    ) -> Survey:
        inside = None if foreground is None else np.array(foreground)
        read = [
            CaseFacts(f"case_{n}.nii.gz", tuple(channels), zero, held, inside) for n, held in enumerate(values)
        ]
        return Survey(
            [{"image": case.file} for case in read],
            len(channels),
            list(names),
            labels or {},
            np.array([shape] * len(read)),
            np.array([spacing] * len(read)),
            Counter({"RAS": len(read)}),
            read,
            sum(held is not None for held in values),
        )

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``data(kind)``: tiny phantoms; the spleens have the value 18 in their labels."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind) / "data"
            write_phantoms(made[kind], kind, size="tiny", progress=False, **COUNTS)
            if kind == "spleen_ct":
                renumber(made[kind], 18)
        return made[kind]

    return folder
