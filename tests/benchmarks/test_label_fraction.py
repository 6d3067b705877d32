"""Numbers of `mim3d study hippocampus_label_fraction` in documents are those of its result files."""

from __future__ import annotations

from statistics import mean

from tests.benchmarks.results import (
    RESULTS,
    ROOT,
    clear,
    clearly_lower,
    difference,
    pages,
    read,
    rows_of,
    share_of_steps,
)

CONDITION = ("labels", "budget", "reference_budget")


def test_the_tables_on_choosing_are_those_of_their_study() -> None:
    folder = RESULTS / "hippocampus_label_fraction"
    text = pages()
    found = rows_of(folder / "comparisons.csv")
    conditions = sorted({(int(row["labels"]), int(row["budget"]), int(row["reference_budget"])) for row in found})
    for condition in conditions:
        arms = {row["arm"]: row for row in found if condition == tuple(int(row[key]) for key in CONDITION)}
        cells = [str(condition[0]), *(arms["mae"][key] for key in ("steps", "reference_steps"))]
        if condition[1] == condition[2]:
            cells.pop()
        cells.append(f"{float(arms['mae']['reference_dice']):.3f}")
        for arm in ("hybridmim", "mae"):
            one = arms[arm]
            cells += [f"{float(one['dice']):.3f}", difference(one)]
            if condition[1] == condition[2]:
                cells.append(one["steps_to_reference"])
        assert f"| {' | '.join(cells)} |" in text
    equal = [row for row in found if row["budget"] == row["reference_budget"]]
    longer = [row for row in found if row["budget"] != row["reference_budget"]]
    assert f"clearly higher in {sum(map(clear, equal))} of {len(equal)} comparisons" in text
    assert f"higher with half of the steps in {sum(map(clear, longer))} of {len(longer)} comparisons" in text
    assert f"clearly lower in {sum(map(clearly_lower, longer))} of {len(longer)} comparisons" in text
    assert not any(map(clearly_lower, equal))
    gains = sorted(float(row["difference"]) for row in equal)
    shares = {
        budget: sorted(share_of_steps(row) for row in equal if row["budget"] == budget)
        for budget in ("100", "200")
    }
    assert f"by {gains[0]:.3f} to {gains[-1]:.3f} Dice, most with 3 labels" in text
    half = sum(share <= 0.5 for each in shares.values() for share in each)
    assert f"in half of the steps or fewer in {half} of {len(equal)}; in trainings of 100 steps" in text
    for budget, text_between in (("100", " % of them"), ("200", " %.")):
        first, last = (round(100 * shares[budget][at]) for at in (0, -1))
        assert f"trainings of {budget} steps after {first} to {last}{text_between}" in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"scored {gains[0]:.3f} to {gains[-1]:.3f} Dice higher with pretraining than without" in readme
    both = [round(100 * share) for each in shares.values() for share in each]
    assert f"after {min(both)} to {max(both)} % of its steps" in readme
    losses = sorted(-float(row["difference"]) for row in longer)
    assert f"with half of the steps it ended {losses[0]:.3f} to {losses[-1]:.3f} Dice lower" in readme
    report = (folder / "report.md").read_text(encoding="utf-8")
    time = report.partition("| time of all runs | ")[2].partition(" |")[0]
    assert f"All runs together took {time}, two at a time" in text
    ranks = read("hippocampus_label_fraction/ranks.json")["mean_ranks"]
    assert f"mean ranks: HybridMIM {ranks['hybridmim']:.2f}, MAE {ranks['mae']:.2f}" in text
    fewest = [
        float(row["dice"])
        for row in rows_of(folder / "results.csv")
        if (row["arm"], row["labels"], row["budget"]) == ("hybridmim", "3", "100")
    ]
    assert f"between {min(fewest):.3f} and {max(fewest):.3f}" in text
    for arm, name in (("hybridmim", "HybridMIM"), ("mae", "MAE")):
        curves = [rows_of(folder / f"pretraining_{arm}_seed{seed}.csv") for seed in range(3)]
        first, last = (
            mean(float(curve[at]["val_explained_mae_gaussian_fill"]) for curve in curves) for at in (0, -1)
        )
        assert f"from {first:.2f} to {last:.2f} ({name})".replace("-0.00", "0.00") in text
    for budget, arm, rate in (("100", "mae", "0.02"), ("200", "scratch", "0.04"), ("200", "hybridmim", "0.01")):
        chosen = {
            row["learning_rate"]
            for row in rows_of(folder / "rates.csv")
            if (row["budget"], row["arm"], row["chosen"]) == (budget, arm, "True")
        }
        assert chosen == {rate}
