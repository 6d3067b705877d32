"""What a validation reports."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
import torch
from ignite.engine import Engine

from custom_components.losses import CombinedLoss
from custom_components.metrics import (
    best_mode,
    key_metrics,
    loss_terms,
    pretext_scores,
    term_metrics,
    validation_names,
)
from custom_components.pretext import HybridMIM, SimCLR
from custom_components.pretext.hybridmim import TERMS


def outputs():
    target = torch.zeros(1, 2, 2, 2, 2)
    reconstruction, masked = target.clone(), torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    masked[0, 0, 0, 0] = True  # two voxels
    reconstruction[0, 0, 0, 0, 0] = 4.0  # of four masked values one is wrong by 4
    reconstruction[0, 1, 1, 1, 1] = -6.0  # of twelve visible ones, one by 6
    return {
        "reconstruction": reconstruction,
        "reconstruction_target": target,
        "reconstruction_mask": masked,
        # regions: met, two too many, not valid
        "count_logits": torch.eye(4)[torch.tensor([[1, 3, 0]])],
        "count_target": torch.tensor([[1, 1, 2]]),
        "region_valid": torch.tensor([[True, True, False]]),
        "position_logits": torch.tensor([[[2.0, -1.0, 3.0], [1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]]),
        "position_target": torch.tensor([[[1, 0, 0], [1, 0, 0], [0, 0, 0]]], dtype=torch.bool),
        "patch_valid": torch.tensor([[[True, True, True], [True, False, False], [False, False, False]]]),
    }


def test_scores_of_a_hand_made_case():
    scores = pretext_scores(outputs(), patch_size=(1, 2, 2))
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(
        {
            "masked_mae": 1.0,
            "masked_mse": 4.0,
            "mean_fill_mae": 0.0,
            "mean_fill_mse": 0.0,
            "gaussian_fill_mae": 0.0,
            "gaussian_fill_mse": 0.0,
            "visible_mae": 0.5,
            "count_accuracy": 0.5,
            "count_error": 1.0,
            "position_accuracy": 0.75,
        }
    )


def test_scores_over_nothing_are_zero():
    case = outputs()
    for key in ("reconstruction_mask", "region_valid", "patch_valid"):
        case[key] = torch.zeros_like(case[key])
    scores = pretext_scores(case, patch_size=(1, 2, 2))
    assert scores["masked_mae"] == scores["count_accuracy"] == scores["count_error"] == 0
    assert scores["position_accuracy"] == 0


@pytest.mark.parametrize("terms", chain.from_iterable(combinations(TERMS, size) for size in (1, 2, 5)))
def test_the_names_are_what_an_evaluation_gives(make_network, terms):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=terms).eval()
    mask = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        found = pretext(torch.randn(1, 1, 32, 32, 32), mask)
        scores = pretext_scores(found, patch_size=pretext.patch_size)
        values = {**CombinedLoss(dict.fromkeys(terms, 1.0))(found), **scores}
    assert set(validation_names(terms)) == set(values)
    assert len(validation_names(terms)) == len(values)


def test_of_two_views_contrast_is_measured_too(make_network):
    pretext = SimCLR(make_network("BasicUNet"), 16, 8).eval()
    with torch.no_grad():
        found = pretext(*torch.randn(2, 2, 1, 32, 32, 32))
        values = {**CombinedLoss({"contrast": 1.0})(found, torch.tensor([3, 5])), **pretext_scores(found)}
    names = validation_names(["contrast"], views=True)
    assert set(names) == set(values) == {"loss", "contrast", "negatives"}
    assert len(names) == len(values)
    assert validation_names(["contrast"]) == ["loss"]
    assert validation_names(["count"], views=True) == validation_names(["count"])


def test_term_metrics_average_each_named_scalar_over_batches():
    engine = Engine(lambda engine, batch: {"loss": batch, "count": 10 * batch, "other": 0.0})
    for name, metric in term_metrics(["loss", "count"]).items():
        metric.attach(engine, name)
    engine.run([1.0, 2.0, 6.0])
    assert engine.state.metrics == {"val_loss": pytest.approx(3.0), "val_count": pytest.approx(30.0)}


def test_explained_shares_follow_from_the_averages_not_from_single_batches():
    names = ("masked_mae", "mean_fill_mae", "gaussian_fill_mae", "masked_mse")
    batches = [(1.0, 10.0, 4.0, 0.0), (3.0, 2.0, 2.0, 0.0)]
    engine = Engine(lambda engine, batch: dict(zip(names, batch, strict=True)))
    for name, metric in term_metrics(names).items():
        metric.attach(engine, name)
    engine.run(batches)
    engine.run(batches)  # a second validation starts afresh
    found = {name: value for name, value in engine.state.metrics.items() if "explained" in name}
    assert found == {
        "val_explained_mae_mean_fill": pytest.approx(1 - 2 / 6),
        "val_explained_mae_gaussian_fill": pytest.approx(1 - 2 / 3),
    }
    assert engine.state.metrics["val_masked_mae"] == 2.0


def test_what_can_select_weights_and_in_which_direction():
    names = ["loss", "masked_mae", "mean_fill_mae", "gaussian_fill_mae", "count_accuracy", "negatives"]
    allowed = ["val_loss", "val_masked_mae", "val_count_accuracy"]
    allowed += ["val_explained_mae_mean_fill", "val_explained_mae_gaussian_fill"]
    assert key_metrics(names) == allowed
    assert [best_mode(name) for name in allowed] == ["min", "min", "max", "max", "max"]
    assert best_mode("val_probe_dice") == best_mode("val_position_accuracy") == "max"
    assert best_mode("val_count_error") == best_mode("val_contrast") == "min"


def test_a_reconstruction_is_not_scored_without_its_patch_size():
    with pytest.raises(ValueError, match="patch_size is None"):
        pretext_scores(outputs())


def test_loss_terms_hands_the_output_to_a_logger_unchanged():
    output = {"loss": 1.0, "count": 2.0}
    assert loss_terms(output) is output
