"""A short form of the fuzzer: random damage ends in the right result, or in one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.case import prepare
from tests.robustness.dataset import Whole
from tests.robustness.fuzz import run_alone

SEED = 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The undamaged set."""
    return prepare(tmp_path_factory.mktemp("whole"))


# One of each kind, each in a fork of this process; about 4 s a case.
@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    ["flipped_bytes", "header_codes", "single_axes", "not_finite", "nearly_whole", "linked_file", "list_entry"],
)
def test_one_damage_of_each_kind(whole: Whole, tmp_path: Path, damage: str) -> None:
    outcome = run_alone(damage, SEED, 0, whole, tmp_path)
    assert outcome.problems == [], outcome


@pytest.mark.slow
@pytest.mark.parametrize("number", range(30))
def test_random_damage(whole: Whole, tmp_path: Path, number: int) -> None:
    outcome = run_alone(None, SEED, number, whole, tmp_path)
    assert outcome.problems == [], outcome
