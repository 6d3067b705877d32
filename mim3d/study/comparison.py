"""Comparisons of arms with their reference, paired by seed and test case."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np

from mim3d.study.arms import Arm
from mim3d.study.curves import mean_curve
from mim3d.study.results import Result, Results, Row
from mim3d.study.statistics import bootstrap_interval, holm, mean_ranks, wilcoxon_p


@dataclass(frozen=True)
class Comparison:
    """An arm and its reference under one condition.

    Attributes:
        arm: the arm.
        reference: what it is compared with.
        labels: number of labelled cases.
        budget: optimizer steps asked for.
        reference_budget: those of the reference; more than ``budget`` in `compare_with_longer`.
        seeds: number of paired seeds.
        cases: paired test cases, sorted.
        differences: of each case, mean over seeds: Dice of the arm minus that of the reference.
        dice: mean Dice of arm and reference.
        interval: 95 % bootstrap interval of the mean difference.
        p: of Wilcoxon's test over cases.
        p_holm: the same, corrected for all comparisons made together.
        steps: optimizer steps of the arm's training; whole epochs, so they differ from ``budget``.
        reference_steps: those of the reference.
        steps_to: steps of the arm's mean validation curve to the final value of its reference's; None: not
            reached.
        levels: Dice level -> steps of arm and of reference to reach it.
        pretraining: steps and seconds of one pretraining of the arm, mean over seeds; zeros without one.
        seconds: of a training, mean over seeds, of arm and reference.
    """

    arm: Arm
    reference: Arm
    labels: int
    budget: int
    reference_budget: int
    seeds: int
    cases: tuple[str, ...]
    differences: tuple[float, ...]
    dice: tuple[float, float]
    interval: tuple[float, float]
    p: float
    p_holm: float
    steps: int
    reference_steps: int
    steps_to: int | None
    levels: dict[float, tuple[int | None, int | None]]
    pretraining: tuple[int, float]
    seconds: tuple[float, float]

    @property
    def difference(self) -> float:
        """Mean difference of Dice."""
        return mean(self.differences)

    @property
    def row(self) -> Row:
        """The comparison as a row of comparisons.csv."""
        steps, seconds = self.pretraining
        return {
            "arm": self.arm.name,
            "reference": self.reference.name,
            "labels": self.labels,
            "budget": self.budget,
            "reference_budget": self.reference_budget,
            "seeds": self.seeds,
            "cases": len(self.cases),
            "dice": self.dice[0],
            "reference_dice": self.dice[1],
            "difference": self.difference,
            "low": self.interval[0],
            "high": self.interval[1],
            "p": self.p,
            "p_holm": self.p_holm,
            "steps": self.steps,
            "reference_steps": self.reference_steps,
            "steps_to_reference": self.steps_to,
            "steps_to_reference_with_pretraining": None if self.steps_to is None else self.steps_to + steps,
            "pretraining_steps": steps,
            "pretraining_seconds": round(seconds, 1),
            "seconds": round(self.seconds[0], 1),
            "reference_seconds": round(self.seconds[1], 1),
            **{f"{who}steps_to_{level:g}": reached[k] for level, reached in self.levels.items()
               for k, who in enumerate(("", "reference_"))},
        }  # fmt: skip


def compare(results: Results) -> list[Comparison]:
    """Return every comparison of equally long trainings, with Holm's correction over all of them."""
    return _corrected(results, [(budget, budget) for budget in results.plan.budgets])


def compare_with_longer(results: Results) -> list[Comparison]:
    """Return every comparison with a longer training of the reference, with Holm's correction over all of them."""
    budgets = results.plan.budgets
    return _corrected(results, [(short, long) for short in budgets for long in budgets if short < long])


def _corrected(results: Results, budgets: list[tuple[int, int]]) -> list[Comparison]:
    found = []
    for labels in results.plan.label_counts:
        for both in budgets:
            for arm in results.plan.arms:
                other = results.reference(arm)
                if other is not None and (one := _compare(results, arm, other, labels, both)) is not None:
                    found.append(one)
    corrected = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]


def _compare(results: Results, arm: Arm, other: Arm, labels: int, budgets: tuple[int, int]) -> Comparison | None:
    pairs = results.pairs(arm, other, labels, *budgets)
    if not pairs:
        return None
    cases, differences = _paired(pairs)
    if not cases:
        return None
    curve, target = (mean_curve([pair[side].curve for pair in pairs]) for side in (0, 1))
    return Comparison(
        arm,
        other,
        labels,
        *budgets,
        len(pairs),
        tuple(cases),
        tuple(float(value) for value in differences.mean(axis=0)),
        (_mean_dice(pairs, 0, cases), _mean_dice(pairs, 1, cases)),
        bootstrap_interval(differences),
        wilcoxon_p(differences),
        math.nan,
        pairs[0][0].training.steps,
        pairs[0][1].training.steps,
        curve.steps_to(target.final),
        {level: (curve.steps_to(level), target.steps_to(level)) for level in results.plan.study.levels},
        _mean_pretraining(pairs),
        (_mean_seconds(pairs, 0), _mean_seconds(pairs, 1)),
    )


def _paired(pairs: list[tuple[Result, Result]]) -> tuple[list[str], np.ndarray]:
    """Return the cases that all runs scored, and the differences, ``(seeds, cases)``."""
    scores = [[result.case_dice for result in pair] for pair in pairs]
    cases = sorted(set.intersection(*(set(one) for pair in scores for one in pair)))
    return cases, np.array([[mine[case] - other[case] for case in cases] for mine, other in scores])


def _mean_dice(pairs: list[tuple[Result, Result]], side: int, cases: list[str]) -> float:
    return mean(pair[side].case_dice[case] for pair in pairs for case in cases)


def _mean_seconds(pairs: list[tuple[Result, Result]], side: int) -> float:
    return mean(float((pair[side].training.done or {}).get("seconds", 0)) for pair in pairs)


def _mean_pretraining(pairs: list[tuple[Result, Result]]) -> tuple[int, float]:
    """Return steps and seconds of one pretraining, mean over runs: they may share one, or each has its own."""
    done = [pair[0].pretraining.done or {} for pair in pairs if pair[0].pretraining]
    if not done:
        return 0, 0.0
    return round(mean(int(one["steps"]) for one in done)), mean(float(one["seconds"]) for one in done)


def rank_arms(results: Results) -> tuple[dict[str, float], int]:
    """Return each arm's mean rank, and the number of conditions; every arm was scored on each of them.

    A condition is a label count, a budget and a test case; the score is the mean over seeds.
    """
    plan, arms, rows = results.plan, results.plan.arms, []
    for labels in plan.label_counts:
        for budget in plan.budgets:
            found = [[result.case_dice for result in results.of(arm, labels, budget)] for arm in arms]
            if not all(found):
                continue
            cases = set.intersection(*(set(one) for scores in found for one in scores))
            rows += [[mean(one[case] for one in scores) for scores in found] for case in sorted(cases)]
    if len(arms) < 2 or not rows:
        return {}, 0
    ranks = mean_ranks(np.array(rows))
    return {arm.name: float(rank) for arm, rank in zip(arms, ranks, strict=True)}, len(rows)
