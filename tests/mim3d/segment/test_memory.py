"""The memory that a case needs, counted before it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mim3d.segment import memory
from tests.mim3d.segment.small import Segment, rows, write


def test_a_case_that_cannot_fit_into_memory_is_refused_before_it_is_read(
    segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / "a.nii.gz")
    write(tmp_path / "in" / "b.nii.gz", np.zeros((200, 200, 200), np.uint8))
    monkeypatch.setattr(memory, "free_memory", lambda: 200e6)
    status, text = segment(tmp_path / "in")
    assert status == 1
    assert {case: row[0] for case, row in rows(text).items()} == {"a": "written", "b": "failed"}
    assert "needs about 550 MB of memory, 200 MB are free" in rows(text)["b"][2]
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert rows(segment(tmp_path / "in")[1])["a"][0] == "skipped"  # its mask is there


def test_memory_is_counted_from_headers(tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii.gz", np.zeros((100, 100, 100), np.uint8))
    stored, finer = 100**3, 100**3 * 1.2 * 1.5 / 0.5**3
    needed, stitched = memory.needed_bytes([image], [0.5] * 3, [32] * 3, outputs=14)
    assert stitched == pytest.approx(2 * 15 * 4 * finer, rel=1e-3)
    assert needed == pytest.approx(4 * (stored + finer) + stitched, rel=1e-3)
    more, same = memory.needed_bytes([image], [0.5] * 3, [32] * 3, outputs=14, probabilities=True)
    assert same == stitched
    assert more == pytest.approx((1 + 3 * 14) * 4 * finer, rel=1e-3)
