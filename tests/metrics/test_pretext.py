"""What a validation reports."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
import torch
from ignite.engine import Engine

from custom_components.losses import CombinedLoss
from custom_components.metrics import loss_terms, pretext_accuracies, term_metrics, validation_names
from custom_components.pretext import HybridMIM, SimCLR
from custom_components.pretext.hybridmim import TERMS


def outputs():
    target = torch.zeros(1, 2, 2, 2, 2)
    reconstruction, hidden = target.clone(), torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0, 0, 0] = True  # two voxels
    reconstruction[0, 0, 0, 0, 0] = 4.0  # of four hidden values one is wrong by 4
    reconstruction[0, 1, 1, 1, 1] = -6.0  # of twelve visible ones, one by 6
    return {
        "reconstruction": reconstruction,
        "reconstruction_target": target,
        "reconstruction_mask": hidden,
        # regions: met, two too many, not valid
        "count_logits": torch.eye(4)[torch.tensor([[1, 3, 0]])],
        "count_target": torch.tensor([[1, 1, 2]]),
        "region_valid": torch.tensor([[True, True, False]]),
        "position_logits": torch.tensor([[[2.0, -1.0, 3.0], [1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]]),
        "position_target": torch.tensor([[[1, 0, 0], [1, 0, 0], [0, 0, 0]]], dtype=torch.bool),
        "patch_valid": torch.tensor([[[True, True, True], [True, False, False], [False, False, False]]]),
    }


def test_scores_of_a_hand_made_case():
    scores = pretext_accuracies(outputs())
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(
        {
            "masked_mae": 1.0,
            "visible_mae": 0.5,
            "count_accuracy": 0.5,
            "count_error": 1.0,
            "position_accuracy": 0.75,
        }
    )


def test_where_targets_are_normalised_the_painting_is_scored():
    case, plain = outputs(), outputs()
    case["painting"], case["rescaled_target"] = case["reconstruction"], case["reconstruction_target"]
    case["reconstruction"], case["reconstruction_target"] = (torch.full((1, 2, 2, 2, 2), v) for v in (3.0, -3.0))
    assert pretext_accuracies(case) == pretext_accuracies(plain)


def test_scores_over_nothing_are_zero():
    case = outputs()
    for key in ("reconstruction_mask", "region_valid", "patch_valid"):
        case[key] = torch.zeros_like(case[key])
    scores = pretext_accuracies(case)
    assert scores["masked_mae"] == scores["count_accuracy"] == scores["count_error"] == 0
    assert scores["position_accuracy"] == 0


@pytest.mark.parametrize("terms", chain.from_iterable(combinations(TERMS, size) for size in (1, 2, 5)))
def test_the_names_are_what_an_evaluation_gives(make_network, terms):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=terms).eval()
    mask = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        found = pretext(torch.randn(1, 1, 32, 32, 32), mask)
        values = {**CombinedLoss(dict.fromkeys(terms, 1.0))(found), **pretext_accuracies(found)}
    assert set(validation_names(terms)) == set(values)
    assert len(validation_names(terms)) == len(values)


def test_of_two_views_contrast_is_measured_too(make_network):
    pretext = SimCLR(make_network("BasicUNet"), 16, 8).eval()
    with torch.no_grad():
        found = pretext(*torch.randn(2, 2, 1, 32, 32, 32))
        values = {**CombinedLoss({"contrast": 1.0})(found, torch.tensor([3, 5])), **pretext_accuracies(found)}
    names = validation_names(["contrast"], views=True)
    assert set(names) == set(values) == {"loss", "contrast", "negatives"}
    assert len(names) == len(values)
    assert validation_names(["contrast"]) == ["loss"]
    assert validation_names(["count"], views=True) == validation_names(["count"])


def test_part_metrics_average_each_named_part_over_batches():
    engine = Engine(lambda engine, batch: {"loss": batch, "count": 10 * batch, "other": 0.0})
    for name, metric in term_metrics(["loss", "count"]).items():
        metric.attach(engine, name)
    engine.run([1.0, 2.0, 6.0])
    assert engine.state.metrics == {"val_loss": pytest.approx(3.0), "val_count": pytest.approx(30.0)}


def test_loss_parts_hands_the_parts_to_a_logger_unchanged():
    parts = {"loss": 1.0, "count": 2.0}
    assert loss_terms(parts) is parts
