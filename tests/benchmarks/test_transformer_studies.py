"""Numbers of the studies on a transformer, in documents, are those of their result files."""

from __future__ import annotations

from tests.benchmarks.results import RESULTS, clear, difference, pages, rows_of


def test_the_table_on_transformers_is_that_of_its_study() -> None:
    folder = RESULTS / "hippocampus_transformers"
    text = pages()
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
    text = pages()
    found = {row["arm"]: row for row in rows_of(folder / "comparisons.csv")}
    assert found.keys() == names.keys()
    for arm, one in found.items():
        assert float(one["low"]) < 0 < float(one["high"])
        cells = [names[arm], f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join([*cells, one['steps_to_reference'] or 'not reached'])} |" in text
    scratch = f"{float(found['mae']['reference_dice']):.3f}"
    gains = [f"{float(found[arm]['difference']):.3f}" for arm in names]
    assert f"Scratch had a test Dice of {scratch}" in text
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


def test_the_table_on_a_transformer_with_other_numbers_of_labels_is_that_of_its_study() -> None:
    text = pages()
    found = rows_of(RESULTS / "hippocampus_transformers_labels" / "comparisons.csv")
    assert {one["labels"] for one in found} == {"3", "5", "20", "40"}
    for labels in ("3", "5", "20", "40"):
        arms = {one["arm"]: one for one in found if one["labels"] == labels}
        cells = [labels, f"{float(arms['mae']['reference_dice']):.3f}"]
        for arm in ("mae", "simmim"):
            one = arms[arm]
            cells += [f"{float(one['dice']):.3f}", difference(one)]
        assert f"| {' | '.join(cells)} |" in text
    assert not any(clear(one) for one in found)
