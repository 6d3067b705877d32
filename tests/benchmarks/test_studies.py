"""Numbers of studies in documents are those of their result files."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from tests.benchmarks.results import RESULTS, ROOT, clear, difference, rows_of, share_of_steps


def test_the_table_on_averaged_weights_is_that_of_its_study() -> None:
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    names = {"hybridmim average": "averaged (the default)", "hybridmim last_weights": "the last ones"}
    found = rows_of(RESULTS / "hippocampus_averaging" / "comparisons.csv")
    assert [one["arm"] for one in found] == list(names)
    for one in found:
        cells = [f"{float(one[key]):.3f}" for key in ("reference_dice", "dice")]
        cells += [difference(one), one["steps_to_reference"]]
        assert f"| {' | '.join([names[one['arm']], *cells])} |" in text
    shares = [f"{share_of_steps(one):.0%}".replace("%", " %") for one in found]
    assert f"after {shares[0]} of its steps, in place of {shares[1]}" in text
    assert f"in {shares[0]} of the steps in place of {shares[1]}" in text


def test_the_table_on_longer_trainings_is_that_of_its_study() -> None:
    folder = RESULTS / "hippocampus_long"
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = rows_of(folder / "comparisons.csv")
    assert len(found) == 6
    for one in found:
        cells = [one["budget"], one["reference_budget"], f"{float(one['reference_dice']):.3f}"]
        cells += [f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join([*cells, one['steps_to_reference'] or 'not reached'])} |" in text
    gains = {one["budget"]: float(one["difference"]) for one in found if one["budget"] == one["reference_budget"]}
    assert f"gained {gains['200']:.3f} Dice in trainings of 200 steps and {gains['400']:.3f} in trainings" in text


def share_at_the_end(folder: Path, name: str) -> float:
    return float(rows_of(folder / f"pretraining_{name}.csv")[-1]["val_explained_mae_gaussian_fill"])


RECIPES = {
    "no_visible": "without the loss on visible voxels",
    "no_noise": "without input noise",
    "one_ratio": "one ratio, 0.5, in place of a range",
    "uniform": "uniform masking in place of two levels",
    "flips": "with flips along all axes",
    "no_dropout_no_contrast": "without dropout and contrast",
    "no_region_terms": "without the terms on regions",
    "pixels_only": "reconstruction alone",
}


def test_the_table_on_ingredients_is_that_of_its_study() -> None:
    folder = RESULTS / "hippocampus_recipe"
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = {row["arm"].removeprefix("hybridmim "): row for row in rows_of(folder / "comparisons.csv")}
    assert found.keys() == {"scratch", *RECIPES}
    for arm, one in found.items():
        cells = [f"{float(one['dice']):.3f}", difference(one)]
        if arm == "scratch":
            assert f"| from scratch | {' | '.join(cells)} | |" in text
            continue
        share = share_at_the_end(folder, f"hybridmim_{arm}")
        assert f"| {RECIPES[arm]} | {' | '.join(cells)} | {share:.2f} |" in text
        assert float(one["low"]) < 0 < float(one["high"])
    assert "with a searched rate, scratch had 0.817" in text
    searched = rows_of(RESULTS / "hippocampus_long" / "comparisons.csv")
    ten = {row["reference_dice"] for row in searched if row["reference_budget"] == "100"}
    assert [f"{float(dice):.3f}" for dice in ten] == ["0.817"]
    default = share_at_the_end(folder, "hybridmim_default")
    assert f"a test Dice of {float(found['flips']['reference_dice']):.3f}. *Explained*" in text
    assert f"pretraining ({default:.2f} for the default)" in text
    assert f"({share_at_the_end(folder, 'hybridmim_flips'):.2f} in place of {default:.2f})" in text


def test_the_table_on_transformers_is_that_of_its_study() -> None:
    folder = RESULTS / "hippocampus_transformers"
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = rows_of(folder / "comparisons.csv")
    for labels in ("5", "20"):
        arms = {row["arm"]: row for row in found if row["labels"] == labels}
        cells = [labels, f"{float(arms['mae']['reference_dice']):.3f}"]
        for arm in ("mae", "simmim", "simclr"):
            one = arms.pop(arm)
            assert float(one["low"]) < 0 < float(one["high"])
            cells += [f"{float(one['dice']):.3f}", difference(one)]
        assert arms == {}
        assert f"| {' | '.join(cells)} |" in text
    dice = {
        (row["arm"], row["labels"], row["seed"]): float(row["dice"]) for row in rows_of(folder / "results.csv")
    }
    worst = [value for (_, _, seed), value in dice.items() if seed == "2"]
    assert max(worst) < 0.13
    for (arm, labels, seed), value in dice.items():
        assert value <= dice["scratch", labels, seed] + 0.005, arm
    assert {row["learning_rate"] for row in rows_of(folder / "rates.csv") if row["chosen"] == "True"} == {"0.001"}


def test_the_table_on_a_longer_trained_transformer_is_that_of_its_study() -> None:
    folder, names = RESULTS / "hippocampus_transformers_long", {"mae": "MAE", "simmim": "SimMIM"}
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = {row["arm"]: row for row in rows_of(folder / "comparisons.csv")}
    assert found.keys() == names.keys()
    for arm, one in found.items():
        assert float(one["low"]) < 0 < float(one["high"])
        cells = [names[arm], f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join([*cells, one['steps_to_reference'] or 'not reached'])} |" in text
    scratch = f"{float(found['mae']['reference_dice']):.3f}"
    gains = [f"{float(found[arm]['difference']):.3f}" for arm in names]
    assert f"scratch had a test Dice of {scratch}" in text
    assert f"MAE was {gains[0]} and SimMIM {gains[1]} higher than scratch, which had {scratch}" in text
    rates = rows_of(folder / "rates.csv")
    assert {row["learning_rate"] for row in rates if row["chosen"] == "True"} == {"0.002"}
    for arm in names:
        tenth, full = (
            next(
                row
                for row in rates
                if (row["arm"], row["learning_rate"], row["encoder_lr_factor"]) == (arm, "0.001", factor)
            )
            for factor in ("", "1.0")
        )
        pair = (
            f"{float(full['validation_dice']):.3f} against {float(tenth['validation_dice']):.3f} for {names[arm]}"
        )
        assert pair in text


def test_the_table_on_a_transformer_with_few_and_many_labels_is_that_of_its_study() -> None:
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = rows_of(RESULTS / "hippocampus_transformers_labels" / "comparisons.csv")
    assert {one["labels"] for one in found} == {"3", "40"}
    for labels in ("3", "40"):
        arms = {one["arm"]: one for one in found if one["labels"] == labels}
        cells = [labels, f"{float(arms['mae']['reference_dice']):.3f}"]
        for arm in ("mae", "simmim"):
            one = arms[arm]
            cells += [f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join(cells)} |" in text
    assert not any(clear(one) for one in found)


def test_the_table_on_brain_tumours_is_that_of_its_study() -> None:
    folder, names = RESULTS / "brain_tumours", {"hybridmim": "HybridMIM", "mae": "MAE"}
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = {row["arm"]: row for row in rows_of(folder / "comparisons.csv")}
    assert found.keys() == names.keys()
    for arm, one in found.items():
        cells = [names[arm], f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join([*cells, one['steps_to_reference']])} |" in text
    assert not any(clear(one) or float(one["high"]) < 0 for one in found.values())
    gains = [f"{float(one['difference']):.3f}" for one in found.values()]
    shares = [f"{share_of_steps(one):.0%}".replace("%", " %") for one in found.values()]
    assert f"HybridMIM scored {gains[0]} and MAE {gains[1]} higher on test cases, which is not clear" in text
    assert f"scratch's final validation Dice in {shares[0]} and {shares[1]} of the steps" in text
    assert f"scratch had a test Dice of {float(found['mae']['reference_dice']):.3f}" in text
    ends = [share_at_the_end(folder, arm) for arm in found]
    assert f": {ends[0]:.2f} (HybridMIM) and {ends[1]:.2f} (MAE) after {found['mae']['pretraining_steps']}" in text
    chosen = {row["arm"]: row["learning_rate"] for row in rows_of(folder / "rates.csv") if row["chosen"] == "True"}
    assert chosen == {"scratch": "0.02", "hybridmim": "0.005", "mae": "0.01"}


def test_the_table_on_brain_tumours_without_averaging_is_that_of_its_study() -> None:
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    tested = rows_of(RESULTS / "brain_tumours_not_averaged" / "comparisons.csv")
    cells = [difference(one) for one in tested]
    reference = f"against scratch, which had {float(tested[0]['reference_dice']):.3f}"
    assert f"HybridMIM scored {cells[0]} and MAE {cells[1]} {reference}" in text
    rows = {"brain_tumours": "averaged (the default)", "brain_tumours_not_averaged": "the last ones"}
    means = []
    for name, label in rows.items():
        curves = [row for row in rows_of(RESULTS / name / "curves.csv") if row["step"] == row["budget"]]
        ends = [
            mean(float(row["validation_dice"]) for row in curves if row["arm"] == arm)
            for arm in ("scratch", "hybridmim", "mae")
        ]
        means.append(mean(ends))
        assert f"| {label} | {' | '.join(f'{value:.3f}' for value in (*ends, means[-1]))} |" in text
    assert means[0] > means[1], "on average the end was higher"


def test_the_table_on_brain_tumours_after_a_short_pretraining_is_that_of_its_study() -> None:
    folder, names = RESULTS / "brain_tumours_short", {"hybridmim": "HybridMIM", "mae": "MAE"}
    text = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = {row["arm"]: row for row in rows_of(folder / "comparisons.csv")}
    ends = {}
    for arm, one in found.items():
        method, variant = arm.split()
        label = names[method] + (", `relative_output`" if variant == "relative" else "")
        assert f"| {label} | {float(one['dice']):.3f} | {difference(one)} |" in text
        ends[arm] = share_at_the_end(folder, f"{method}_{variant}")
    assert len(found) == 4
    assert not any(clear(one) or float(one["high"]) < 0 for one in found.values())
    assert f"scratch had {float(found['mae default']['reference_dice']):.3f})" in text
    assert f", {ends['hybridmim default']:.2f} and {ends['mae default']:.2f} after 480." in text
    assert f"it was {ends['hybridmim relative']:.2f} and {ends['mae relative']:.2f};" in text


def test_the_scores_of_a_store_are_those_of_its_study() -> None:
    folder = RESULTS / "hippocampus_store"
    (one,) = rows_of(folder / "comparisons.csv")
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"was {float(one['dice']):.3f} from a store and {float(one['reference_dice']):.3f} from memory" in text
    assert (
        f"{float(one['difference']):+.3f} (95 % interval {float(one['low']):+.3f} to {float(one['high']):+.3f}"
        in text
    )
    dice = {(row["arm"], row["seed"]): float(row["dice"]) for row in rows_of(folder / "results.csv")}
    seeds = sorted({seed for _, seed in dice})
    assert len(seeds) == int(one["seeds"]) == 6
    gaps = [abs(dice[one["arm"], seed] - dice[one["reference"], seed]) for seed in seeds]
    assert f"differ by up to {max(gaps):.3f}" in text
