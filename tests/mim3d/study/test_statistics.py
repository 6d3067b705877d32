"""Statistics of a study against slow loops and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from mim3d.study.statistics import bootstrap_interval, holm, mean_ranks, wilcoxon_p


def slow_bootstrap(differences: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Seeds and cases drawn one by one; effects of both widened by sqrt(n / (n - 1))."""
    seeds, cases = differences.shape
    rng, centre, means = np.random.default_rng(seed), differences.mean(), []
    for _ in range(resamples):
        rows, columns = rng.integers(seeds, size=seeds), rng.integers(cases, size=cases)
        total = 0.0
        for row in rows:
            for column in columns:
                value = differences[row, column]
                if seeds > 1:
                    value += (math.sqrt(seeds / (seeds - 1)) - 1) * (differences[row].mean() - centre)
                value += (math.sqrt(cases / (cases - 1)) - 1) * (differences[:, column].mean() - centre)
                total += value
        means.append(total / (seeds * cases))
    return tuple(np.quantile(means, (0.025, 0.975)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_bootstrap_interval_is_that_of_a_slow_loop(seeds: int) -> None:
    rng = np.random.default_rng(1)
    differences = 0.1 + 0.2 * rng.standard_normal((seeds, 8)) + 0.1 * rng.standard_normal((seeds, 1))
    found = bootstrap_interval(differences, resamples=20_000)
    expected = slow_bootstrap(differences, 2_000, seed=2)
    width = expected[1] - expected[0]
    assert found == pytest.approx(expected, abs=0.06 * width)
    assert found == bootstrap_interval(differences, resamples=20_000)
    assert found[0] < differences.mean() < found[1]


def test_bootstrap_interval_has_about_the_stated_coverage() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        differences = 0.05 + 0.1 * rng.standard_normal((1, 30)) + 0.03 * rng.standard_normal((6, 1))
        differences = differences + 0.05 * rng.standard_normal((6, 30))
        low, high = bootstrap_interval(differences, resamples=500)
        hits += low <= 0.05 <= high
    assert 0.90 <= hits / 300 <= 0.99


def test_equal_scores_are_no_difference() -> None:
    assert bootstrap_interval(np.zeros((2, 5))) == (0.0, 0.0)
    assert wilcoxon_p(np.zeros((2, 5))) == 1.0


def test_wilcoxon_is_scipys_on_the_mean_over_seeds() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, (3, 20))
    assert wilcoxon_p(differences) == wilcoxon(differences.mean(axis=0)).pvalue


def slow_holm(p_values: list[float]) -> list[float]:
    """Each p value times the number of hypotheses not smaller than it, made monotone, one by one."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    remaining = sorted(range(len(p_values)), key=lambda k: (p_values[k], k))
    while remaining:
        first = remaining[0]
        largest = max(largest, p_values[first] * len(remaining))
        corrected[first] = min(1.0, largest)
        remaining = remaining[1:]
    return corrected


@pytest.mark.parametrize(
    "p_values", [[], [0.03], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.01], [0.2, 0.001, 0.2, 0.9, 0.04]]
)
def test_holm_is_that_of_a_slow_loop(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(slow_holm(p_values))


def test_holm_of_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_mean_ranks_are_those_of_a_slow_loop() -> None:
    scores = np.random.default_rng(4).integers(0, 5, (30, 4)).astype(float)  # with ties
    expected = np.zeros(4)
    for row in scores:
        for arm in range(4):
            expected[arm] += 1 + sum(other > row[arm] for other in row) + (sum(row == row[arm]) - 1) / 2
    assert mean_ranks(scores).tolist() == pytest.approx((expected / 30).tolist())
