"""Numbers of studies in documents are those of their result files."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from tests.benchmarks.results import (
    RESULTS,
    ROOT,
    clear,
    clearly_lower,
    difference,
    pages,
    rows_of,
    share_of_steps,
)


def test_the_table_on_averaged_weights_is_that_of_its_study() -> None:
    text = pages()
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


def test_the_tables_on_longer_trainings_are_those_of_their_study() -> None:
    text, folder = pages(), RESULTS / "hippocampus_long"
    rows = rows_of(folder / "comparisons.csv")
    found = {(one["labels"], one["budget"], one["reference_budget"]): one for one in rows}
    labels = [one["labels"] for one in rows if one["budget"] == one["reference_budget"] == "400"]
    assert labels == ["3", "5", "10", "20", "40"]
    for count in labels:
        same, half, quarter = (found[count, budget, "400"] for budget in ("400", "200", "100"))
        scratch = f"{float(same['reference_dice']):.3f}"
        cells = [count, scratch, f"{float(same['dice']):.3f}", difference(same), same["steps_to_reference"]]
        assert f"| {' | '.join(cells)} |" in text
        cells = [count, scratch]
        for one in (half, quarter):
            cells += [f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join(cells)} |" in text
    same = [found[count, "400", "400"] for count in labels]
    gains = sorted(float(one["difference"]) for one in same)
    assert (
        f"gained {gains[0]:.3f} to {gains[-1]:.3f} in trainings of 400 steps, clearly with 3 labels only" in text
    )
    assert f"and {gains[0]:.3f} to {gains[-1]:.3f} in trainings of 400, clearly with 3 labels only" in text
    assert f"In trainings of 400 steps it gained at most {gains[-1]:.3f}." in (ROOT / "README.md").read_text(
        "utf-8"
    )
    assert [one["labels"] for one in same if clear(one)] == ["3"]
    every = sorted(float(one["difference"]) for one in rows if one["budget"] == one["reference_budget"] != "400")
    assert f"HybridMIM gained {every[0]:.3f} to {every[-1]:.3f} Dice in trainings of 100 or 200 steps" in text
    shares = sorted(share_of_steps(one) for one in same)
    assert f"after {shares[0]:.0%} to {shares[-1]:.0%}".replace("%", " %") in text
    short = [found[count, "100", "400"] for count in labels]
    losses = sorted(-float(one["difference"]) for one in short)
    assert f"{losses[0]:.3f} to {losses[-1]:.3f} lower" in text


TUNED = {
    "full_encoder_rate": "encoder at the full rate (`encoder_lr_factor: 1.0`)",
    "frozen_encoder": "encoder not trained (`encoder_lr_factor: 0.0`)",
    "layer_decay": "earlier encoder layers slower (`layer_decay: 0.75`)",
    "decoder_warmup": "decoder trained first (`decoder_warmup: 0.05`)",
    "encoder_alone": "encoder alone loaded (`transfer: encoder`)",
}


def test_the_table_on_ways_to_fine_tune_is_that_of_its_study() -> None:
    text, folder = pages(), RESULTS / "hippocampus_finetuning"
    found = {row["arm"].removeprefix("hybridmim "): row for row in rows_of(folder / "comparisons.csv")}
    assert found.keys() == TUNED.keys()
    curves = [row for row in rows_of(folder / "curves.csv") if row["step"] == "100"]
    half = {
        arm: mean(float(row["validation_dice"]) for row in curves if row["arm"] == f"hybridmim {arm}")
        for arm in ("default", *TUNED)
    }
    for arm, one in found.items():
        assert f"| {TUNED[arm]} | {float(one['dice']):.3f} | {difference(one)} | {half[arm]:.3f} |" in text
    default = f"{float(found['layer_decay']['reference_dice']):.3f}"
    assert f"The default had a test Dice of {default}. *After half*" in text
    assert f"where the default had {half['default']:.3f}:" in text
    worse = {arm for arm, one in found.items() if clearly_lower(one)}
    assert worse == {"full_encoder_rate", "frozen_encoder", "encoder_alone"}
    assert not any(clear(one) for one in found.values())
    for arm, words in (("full_encoder_rate", "the full rate"), ("frozen_encoder", "an untrained encoder")):
        assert f"{words} ({float(found[arm]['difference']):+.3f}" in text


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
    text = pages()
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
    searched = rows_of(RESULTS / "hippocampus_label_fraction_short" / "comparisons.csv")
    ten = {row["reference_dice"] for row in searched if (row["labels"], row["reference_budget"]) == ("10", "100")}
    assert [f"{float(dice):.3f}" for dice in ten] == ["0.817"]
    default = share_at_the_end(folder, "hybridmim_default")
    assert f"a test Dice of {float(found['flips']['reference_dice']):.3f}. *Explained*" in text
    assert f"pretraining ({default:.2f} for the default)" in text
    assert f"({share_at_the_end(folder, 'hybridmim_flips'):.2f} in place of {default:.2f})" in text


def test_the_table_on_brain_tumours_is_that_of_its_study() -> None:
    folder, names = RESULTS / "brain_tumours", {"hybridmim": "HybridMIM", "mae": "MAE"}
    text = pages()
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
    assert f"Scratch had a test Dice of {float(found['mae']['reference_dice']):.3f}" in text
    ends = [share_at_the_end(folder, arm) for arm in found]
    assert f": {ends[0]:.2f} (HybridMIM) and {ends[1]:.2f} (MAE) after {found['mae']['pretraining_steps']}" in text
    chosen = {row["arm"]: row["learning_rate"] for row in rows_of(folder / "rates.csv") if row["chosen"] == "True"}
    assert chosen == {"scratch": "0.02", "hybridmim": "0.005", "mae": "0.01"}


def test_the_table_on_averaged_weights_on_brain_tumours_is_that_of_its_study() -> None:
    folder, text = RESULTS / "brain_tumours_averaging", pages()
    found = {row["arm"]: row for row in rows_of(folder / "comparisons.csv")}
    curves = [row for row in rows_of(folder / "curves.csv") if row["step"] == row["budget"]]
    scores, overall = rows_of(folder / "results.csv"), []
    for variant, label in (("average", "averaged (the default)"), ("last_weights", "the last ones")):
        scratch = "scratch" if variant == "average" else f"scratch {variant}"
        ends = []
        for arm, name in ((scratch, "none"), (f"hybridmim {variant}", "HybridMIM"), (f"mae {variant}", "MAE")):
            ends.append(mean(float(row["validation_dice"]) for row in curves if row["arm"] == arm))
            tested = mean(float(row["dice"]) for row in scores if row["arm"] == arm)
            one = found.get(arm)
            assert (one is None) == (name == "none")
            last = [difference(one), one["steps_to_reference"]] if one else ["", ""]
            cells = [label, name, f"{ends[-1]:.3f}", f"{tested:.3f}", *last]
            assert f"| {' | '.join(cells)} |".replace("|  |  |", "| | |") in text
        overall.append(f"{mean(ends):.3f}")
    assert text.count(f"{overall[0]} with it and {overall[1]} without") == 2
    assert not any(clear(one) for one in found.values())


def test_the_table_on_brain_tumours_after_a_short_pretraining_is_that_of_its_study() -> None:
    folder, names = RESULTS / "brain_tumours_short", {"hybridmim": "HybridMIM", "mae": "MAE"}
    text = pages()
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


def test_the_scores_of_the_quick_start_are_those_of_its_study() -> None:
    folder, text = RESULTS / "quickstart", pages()
    (one,) = rows_of(folder / "comparisons.csv")
    dice = [f"{float(one[key]):.3f}" for key in ("reference_dice", "dice")]
    assert f"| {' | '.join([*dice, difference(one), one['steps_to_reference']])} |" in text
    assert f"One pretraining of {one['pretraining_steps']} steps" in text
    organs = [float(row["dice_mean"]) for row in rows_of(folder / "classes.csv")]
    assert f"organ was {min(organs):.3f}, the highest {max(organs):.3f}" in text
