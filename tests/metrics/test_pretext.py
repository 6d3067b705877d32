"""What a validation reports."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
import torch
from ignite.engine import Engine

from custom_components.losses import CombinedLoss
from custom_components.metrics import loss_terms, pretext_scores, term_metrics, validation_names
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
    scores = pretext_scores(outputs())
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(
        {
            "masked_mae": 1.0,
            "visible_mae": 0.5,
            "count_accuracy": 0.5,
            "count_error": 1.0,
            "position_accuracy": 0.75,
        }
    )


def test_with_normalised_targets_the_rescaled_reconstruction_is_scored():
    case, plain = outputs(), outputs()
    case["rescaled_reconstruction"], case["rescaled_target"] = (
        case["reconstruction"],
        case["reconstruction_target"],
    )
    case["reconstruction"], case["reconstruction_target"] = (torch.full((1, 2, 2, 2, 2), v) for v in (3.0, -3.0))
    assert pretext_scores(case) == pretext_scores(plain)


def test_scores_over_nothing_are_zero():
    case = outputs()
    for key in ("reconstruction_mask", "region_valid", "patch_valid"):
        case[key] = torch.zeros_like(case[key])
    scores = pretext_scores(case)
    assert scores["masked_mae"] == scores["count_accuracy"] == scores["count_error"] == 0
    assert scores["position_accuracy"] == 0


@pytest.mark.parametrize("terms", chain.from_iterable(combinations(TERMS, size) for size in (1, 2, 5)))
def test_the_names_are_what_an_evaluation_gives(make_network, terms):
    pretext = HybridMIM(make_network("BasicUNet"), 16, 16, terms=terms).eval()
    mask = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    with torch.no_grad():
        found = pretext(torch.randn(1, 1, 32, 32, 32), mask)
        values = {**CombinedLoss(dict.fromkeys(terms, 1.0))(found), **pretext_scores(found)}
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


def test_loss_terms_hands_the_output_to_a_logger_unchanged():
    output = {"loss": 1.0, "count": 2.0}
    assert loss_terms(output) is output
