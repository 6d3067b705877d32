"""Paired statistics over cases and seeds: bootstrap intervals, Wilcoxon with Holm's correction, mean ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

RESAMPLES = 10_000
CONFIDENCE = 0.95
Array = NDArray[np.float64]


def bootstrap_interval(
    differences: Array, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval of a mean difference, with seeds and cases resampled.

    Each resample draws seeds and, independently, cases with replacement. So the interval covers other test cases
    and other training subsets. With one seed it covers other test cases only. A bootstrap of n values is too
    narrow by the factor sqrt((n - 1) / n), which matters for few seeds; effects of seeds and of cases are widened
    by its inverse.

    Args:
        differences: ``(seeds, cases)``, paired differences of scores; no nan.
        resamples: number of resamples.
        confidence: in (0, 1).
        seed: of the generator; equal arguments give equal intervals.
    """
    seeds, cases = differences.shape
    centre = differences.mean()
    of_seeds = differences.mean(axis=1, keepdims=True) - centre
    of_cases = differences.mean(axis=0, keepdims=True) - centre
    wider = differences + (_widening(seeds) - 1) * of_seeds + (_widening(cases) - 1) * of_cases
    rng = np.random.default_rng(seed)
    # How often each seed and each case is drawn; the mean of a resample is then a product of matrices.
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    drawn_cases = rng.multinomial(cases, np.full(cases, 1 / cases), size=resamples) / cases
    means = np.einsum("rs,sc,rc->r", drawn_seeds, wider, drawn_cases, optimize=True)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def _widening(count: int) -> float:
    return float(np.sqrt(count / (count - 1))) if count > 1 else 1.0


def wilcoxon_p(differences: Array) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test over cases; 1 if all differences are 0.

    Args:
        differences: ``(seeds, cases)``; the mean over seeds is tested.
    """
    of_cases = differences.mean(axis=0)
    if not of_cases.any():
        return 1.0
    return float(wilcoxon(of_cases).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values with Holm's correction for the number of comparisons, in the given order."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(count)
    stepped = np.asarray(p_values, float)[order] * (count - np.arange(count))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped)) if count else stepped
    return [float(p) for p in corrected]


def mean_ranks(scores: Array) -> Array:
    """Return each arm's rank, averaged over conditions; 1 is best, equal scores share their ranks.

    Args:
        scores: ``(conditions, arms)``, higher is better; no nan.
    """
    ranks: Array = rankdata(-scores, axis=1).mean(axis=0)
    return ranks
