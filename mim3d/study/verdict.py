"""The verdict of a study in words, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

from mim3d.study.comparison import Comparison
from mim3d.study.progress import clock

ALPHA = 0.05  # of the corrected p value


def verdict(comparisons: Sequence[Comparison], longer: Sequence[Comparison] = ()) -> list[str]:
    """Return the sentences that sum a study up: one or more for each arm, and what they do not show.

    Args:
        comparisons: of equally long trainings.
        longer: with longer trainings of the reference.
    """
    if not comparisons:
        return ["Nothing can be compared: no arm and its reference were both tested."]
    names = list(dict.fromkeys(one.arm.name for one in comparisons))
    sentences = []
    for name in names:
        sentences.append(_of_arm([one for one in comparisons if one.arm.name == name]))
        own = [one for one in longer if one.arm.name == name]
        budgets = dict.fromkeys((one.budget, one.reference_budget) for one in own)
        sentences += [
            _against_longer([one for one in own if (one.budget, one.reference_budget) == both]) for both in budgets
        ]
    return [*sentences, _limits(comparisons)]


def describe(one: Comparison) -> str:
    """Return one comparison as a sentence."""
    low, high = one.interval
    direction = f"{abs(one.difference):.3f} {'higher' if one.difference > 0 else 'lower'}"
    if f"{abs(one.difference):.3f}" == "0.000":
        direction = "equal to three digits"
    return (
        f"With {one.labels} labelled cases and {one.budget} steps, {one.arm.name} scored a mean Dice of "
        f"{one.dice[0]:.3f} and {one.reference.name} {one.dice[1]:.3f}: {direction} (95 % interval "
        f"{low:+.3f} to {high:+.3f}; Holm-corrected p = {p_text(one.p_holm)}). {speed(one)}"
    )


def speed(one: Comparison) -> str:
    """Return how soon an arm reached the final validation Dice of its reference."""
    steps, seconds = one.pretraining
    cost = f" Its pretraining took {steps} steps ({clock(seconds)})." if steps else ""
    if one.steps_to is None:
        return f"It did not reach the final validation Dice of {one.reference.name}.{cost}"
    share = one.steps_to / one.steps
    return (
        f"It reached the final validation Dice of {one.reference.name} after {one.steps_to} of {one.steps} steps "
        f"({share:.0%}).{cost}"
    )


def clearly(one: Comparison) -> int:
    """Return 1 if an arm is clearly better than its reference, -1 if clearly worse, 0 if neither.

    Clear: the interval leaves out 0, and the corrected p value is below 0.05. The interval speaks of other
    training subsets too; the p value guards against many comparisons and few test cases.
    """
    low, high = one.interval
    if one.p_holm >= ALPHA:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def _of_arm(own: Sequence[Comparison]) -> str:
    arm, reference = own[0].arm.name, own[0].reference.name
    half = [one for one in own if one.steps_to is not None and one.steps_to <= one.steps / 2]
    return (
        f"{arm}: test Dice {_groups(own, reference)}. In {len(half)} of {len(own)} "
        f"conditions it reached the final validation Dice of {reference} in half of the steps or fewer."
    )


def _against_longer(own: Sequence[Comparison]) -> str:
    one = own[0]
    reference = f"{one.reference.name} with {one.reference_budget} steps"
    return f"{one.arm.name} with {one.budget} steps only: test Dice {_groups(own, reference)}."


def _groups(own: Sequence[Comparison], reference: str) -> str:
    """Say under which conditions an arm was clearly higher or lower, and how much."""
    groups = {sign: [_condition(one, own) for one in own if clearly(one) == sign] for sign in (1, 0, -1)}
    texts = {1: "clearly higher than", 0: "not clearly different from", -1: "clearly lower than"}
    said = [f"{texts[sign]} {reference} {_join(found)}" for sign, found in groups.items() if found]
    differences = [one.difference for one in own]
    spread = f"{min(differences):+.3f} to {max(differences):+.3f}" if len(own) > 1 else f"{differences[0]:+.3f}"
    return f"{', '.join(said)} (difference {spread})"


def _condition(one: Comparison, own: Sequence[Comparison]) -> str:
    budgets = {other.budget for other in own}
    return f"{one.labels} labels" + (f" and {one.budget} steps" if len(budgets) > 1 else "")


def _join(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return f"with {parts[0]}"
    return f"with {', '.join(parts[:-1])} and {parts[-1]}"


def _limits(comparisons: Sequence[Comparison]) -> str:
    seeds, cases = min(one.seeds for one in comparisons), min(len(one.cases) for one in comparisons)
    clear = f"Clear means: the 95 % interval leaves out 0 and the Holm-corrected p is below {ALPHA:g}."
    text = f"{clear} These are {seeds} seed{'s' * (seeds > 1)}, {cases} test cases and one data set."
    if seeds == 1:
        return f"{text} With one seed the intervals do not cover other training subsets."
    return f"{text} The intervals cover other test cases and, roughly, other training subsets."


def p_text(value: float) -> str:
    """Return a p value for people."""
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
