"""Calls in threads: results in order, and no further calls after a failure."""

from __future__ import annotations

import time

import pytest

from custom_components.threads import map_in_threads


def test_results_keep_the_order_and_a_failure_stops_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert map_in_threads(lambda n: time.sleep(0.02 - n / 1000) or n, range(9), "counting") == list(range(9))
    assert "counting" in capsys.readouterr().err
    called = []

    def fail(number: int) -> None:
        called.append(number)
        time.sleep(0.02)
        raise ValueError(f"number {number}")

    with pytest.raises(ValueError, match="number 0"):
        map_in_threads(fail, range(100), "failing", threads=2, progress=False)
    assert len(called) < 10
