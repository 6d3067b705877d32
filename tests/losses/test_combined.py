import math

import pytest
import torch

from custom_components.losses import (
    TERMS,
    CombinedLoss,
    active_terms,
    consistency_loss,
    count_loss,
    nt_xent,
    position_loss,
    reconstruction_loss,
)

PAPER = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
IDS = torch.tensor([3, 5])


def outputs(channels=1):
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    position = randn(2, 3, 8) > 0
    return {
        "reconstruction": randn(2, channels, 4, 2, 6),
        "reconstruction_target": randn(2, channels, 4, 2, 6),
        "reconstruction_mask": randn(2, 1, 4, 2, 6) > 0,
        "count_logits": randn(2, 3, 9),
        "count_target": position.sum(dim=2),
        "position_logits": randn(2, 3, 8),
        "position_target": position,
        "patch_valid": torch.ones(2, 3, 8, dtype=torch.bool),
        "region_valid": torch.ones(2, 3, dtype=torch.bool),
        "view_1": randn(2, 5),
        "view_2": randn(2, 5),
    }


@pytest.mark.parametrize("channels", [1, 4])
def test_loss_is_the_weighted_sum_of_its_parts(channels):
    o = outputs(channels)
    parts = CombinedLoss(PAPER)(o, IDS)
    assert set(parts) == {"loss", "negatives", *TERMS}
    contrast, negatives = nt_xent(o["view_1"], o["view_2"], IDS)
    expected = {
        "reconstruction": reconstruction_loss(
            o["reconstruction"], o["reconstruction_target"], o["reconstruction_mask"]
        ),
        "count": count_loss(o["count_logits"], o["count_target"], o["region_valid"]),
        "position": position_loss(o["position_logits"], o["position_target"], o["patch_valid"]),
        "consistency": consistency_loss(
            o["count_logits"], o["position_logits"], o["region_valid"], o["patch_valid"]
        ),
        "contrast": contrast,
    }
    for name, value in expected.items():
        torch.testing.assert_close(parts[name], value)
    torch.testing.assert_close(parts["loss"], sum(PAPER[name] * expected[name] for name in TERMS))
    assert parts["negatives"].item() == negatives.item() == 2


@pytest.mark.parametrize("name", TERMS)
def test_one_term_needs_only_its_own_outputs(name):
    needed = {
        "reconstruction": {"reconstruction", "reconstruction_target", "reconstruction_mask"},
        "count": {"count_logits", "count_target", "region_valid"},
        "position": {"position_logits", "position_target", "patch_valid"},
        "consistency": {"count_logits", "position_logits", "region_valid", "patch_valid"},
        "contrast": {"view_1", "view_2"},
    }[name]
    weights = {term: 2.0 if term == name else 0 for term in TERMS}
    loss = CombinedLoss(weights)
    assert loss.terms == (name,)
    parts = loss({key: value for key, value in outputs().items() if key in needed}, IDS)
    assert set(parts) == {"loss", name} | ({"negatives"} if name == "contrast" else set())
    torch.testing.assert_close(parts["loss"], 2 * parts[name])


def test_contrast_is_left_out_without_views():
    o = outputs()
    del o["view_1"], o["view_2"]
    parts = CombinedLoss(PAPER)(o)
    assert set(parts) == {"loss", *TERMS} - {"contrast"}
    torch.testing.assert_close(parts["loss"], sum(PAPER[name] * parts[name] for name in TERMS[:-1]))
    assert CombinedLoss({"contrast": 1})(o)["loss"].item() == 0


def test_every_part_keeps_its_graph():
    o = outputs()
    leaves = [o[key].requires_grad_() for key in ("reconstruction", "count_logits", "position_logits", "view_2")]
    CombinedLoss(PAPER)(o, IDS)["loss"].backward()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_options_reach_their_terms():
    o = outputs()
    loss = CombinedLoss(PAPER, reconstruction="l1", temperature=0.1)(o, IDS)
    rec = (o["reconstruction"], o["reconstruction_target"], o["reconstruction_mask"])
    torch.testing.assert_close(loss["reconstruction"], reconstruction_loss(*rec, kind="l1"))
    torch.testing.assert_close(loss["contrast"], nt_xent(o["view_1"], o["view_2"], IDS, 0.1)[0])


@pytest.mark.parametrize("gather", [True, False])
def test_whether_other_ranks_are_gathered_reaches_the_contrast(monkeypatch, gather):
    asked = []

    def remember(one, two, ids, temperature, gather=True):
        asked.append(gather)
        return nt_xent(one, two, ids, temperature, gather)

    monkeypatch.setattr("custom_components.losses.combined.nt_xent", remember)
    CombinedLoss({"contrast": 1}, gather=gather)(outputs(), IDS)
    assert asked == [gather]
    CombinedLoss({"contrast": 1})(outputs(), IDS)
    assert asked[1:] == [True]


def test_active_terms_come_in_one_order_and_zero_is_not_active():
    assert active_terms({"contrast": 1, "count": 0, "reconstruction": 0.5}) == ("reconstruction", "contrast")
    assert active_terms(dict(reversed(PAPER.items()))) == TERMS


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {"reconstruction": 1, "perceptual": 1},
            "part perceptual; allowed are reconstruction, count, position, consistency, contrast",
        ),
        (
            {"reconstruction": 1, "count": -0.1},
            "weight of loss part count must be a finite number from 0, found -0.1",
        ),
        ({"count": math.nan}, "weight of loss part count must be a finite number from 0, found nan"),
        ({"count": math.inf}, "weight of loss part count must be a finite number from 0, found inf"),
        ({"count": "0.1"}, "weight of loss part count must be a finite number from 0, found '0.1'"),
        (
            {"count": 0, "contrast": 0.0},
            "no loss part has a weight over 0; allowed are reconstruction, count",
        ),
        ({}, "no loss part has a weight over 0"),
        (1, "loss weights must map each of reconstruction, .* to a number, found 1"),
    ],
)
def test_wrong_weights_raise_and_say_what_is_allowed(weights, message):
    for build in (active_terms, CombinedLoss):
        with pytest.raises(ValueError, match=message):
            build(weights)


def test_wrong_options_raise_when_built():
    with pytest.raises(ValueError, match="reconstruction must be one of mse, l1; found 'ssim'"):
        CombinedLoss(PAPER, reconstruction="ssim")
    with pytest.raises(ValueError, match="temperature must be over 0, found 0"):
        CombinedLoss(PAPER, temperature=0)


def test_a_missing_output_is_named():
    o = outputs()
    del o["count_target"]
    with pytest.raises(ValueError, match="loss part count needs count_target; found reconstruction, "):
        CombinedLoss(PAPER)(o, IDS)
    with pytest.raises(ValueError, match="loss part contrast needs volume_id"):
        CombinedLoss({"contrast": 1})(o)
