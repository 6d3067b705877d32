import math

import pytest
import torch

from custom_components.losses import (
    REGISTRY,
    CombinedLoss,
    active_terms,
    consistency_loss,
    count_loss,
    nt_xent,
    position_loss,
    reconstruction_loss,
    supported_terms,
    term,
)
from custom_components.metrics import validation_names
from custom_components.pretext import DenseMAE

TERMS = ("reconstruction", "count", "position", "consistency", "contrast")
PAPER = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
WRONG = (-0.1, math.nan, math.inf, "0.1", True)
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
def test_loss_is_the_weighted_sum_of_its_terms(channels):
    o = outputs(channels)
    values = CombinedLoss(PAPER)(o, IDS)
    assert set(values) == {"loss", "negatives", *TERMS}
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
        torch.testing.assert_close(values[name], value)
    torch.testing.assert_close(values["loss"], sum(PAPER[name] * expected[name] for name in TERMS))
    assert values["negatives"].item() == negatives.item() == 2


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
    values = loss({key: value for key, value in outputs().items() if key in needed}, IDS)
    assert set(values) == {"loss", name} | ({"negatives"} if name == "contrast" else set())
    torch.testing.assert_close(values["loss"], 2 * values[name])


def test_contrast_is_left_out_without_views():
    o = outputs()
    del o["view_1"], o["view_2"]
    values = CombinedLoss(PAPER)(o)
    assert set(values) == {"loss", *TERMS} - {"contrast"}
    torch.testing.assert_close(values["loss"], sum(PAPER[name] * values[name] for name in TERMS[:-1]))
    assert CombinedLoss({"contrast": 1})(o)["loss"].item() == 0


def test_every_term_keeps_its_graph():
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


@pytest.fixture
def extra_term():
    """A term of its own with an option and a second scalar, registered for one test."""

    @term("smoothness", reads=("reconstruction",), options={"power": "power"}, also=("largest",))
    def smoothness(pred, power=1):
        steps = pred.diff(dim=2).abs() ** power
        return steps.mean(), steps.max()

    yield smoothness
    del REGISTRY["smoothness"]


def test_a_registered_term_is_weighted_logged_and_validated_without_further_changes(extra_term):
    o = outputs()
    values = CombinedLoss({"reconstruction": 1.0, "smoothness": 0.5}, power=2)(o, IDS)
    expected, largest = extra_term(o["reconstruction"], power=2)
    assert set(values) == {"loss", "reconstruction", "smoothness", "largest"}
    torch.testing.assert_close(values["loss"], values["reconstruction"] + 0.5 * expected)
    torch.testing.assert_close(values["largest"], largest)
    assert "smoothness" in supported_terms(DenseMAE.outputs)
    measured = validation_names(["smoothness"])
    assert measured[:3] == ["loss", "smoothness", "largest"]
    assert {"masked_mae", "visible_mae"} <= set(measured)
    assert CombinedLoss({"smoothness": 1})(o)["smoothness"] == extra_term(o["reconstruction"])[0]
    with pytest.raises(ValueError, match="no loss term has the option powr"):
        CombinedLoss({"smoothness": 1}, powr=2)


def test_gather_reaches_the_contrast(monkeypatch):
    asked = []
    entry = REGISTRY["contrast"]

    def remember(one, two, ids, temperature, gather):
        asked.append(gather)
        return nt_xent(one, two, ids, temperature, gather)

    monkeypatch.setitem(REGISTRY, "contrast", entry._replace(function=remember))
    for options in ({}, {"gather": True}, {"gather": False}):
        CombinedLoss({"contrast": 1}, **options)(outputs(), IDS)
    assert asked == [True, True, False]


def test_active_terms_come_in_one_order_and_zero_is_not_active():
    assert active_terms({"contrast": 1, "count": 0, "reconstruction": 0.5}) == ("reconstruction", "contrast")
    assert active_terms(dict(reversed(PAPER.items()))) == TERMS


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"reconstruction": 1, "perceptual": 1}, "unknown loss term perceptual; allowed: reconstruction, visible"),
        *(({"count": w}, f"loss_weights::count is {w!r}; allowed: a number at least 0") for w in WRONG),
        ({"count": 0, "contrast": 0.0}, "no loss term has a weight above 0; allowed: reconstruction, visible"),
        ({}, "no loss term has a weight above 0"),
        (1, "loss_weights is 1; allowed: a number for each of reconstruction, "),
    ],
)
def test_wrong_weights_raise_and_say_what_is_allowed(weights, message):
    for build in (active_terms, CombinedLoss):
        with pytest.raises(ValueError, match=message):
            build(weights)


def test_wrong_options_raise_when_built():
    with pytest.raises(ValueError, match="reconstruction is 'ssim'; allowed: mse, l1"):
        CombinedLoss(PAPER, reconstruction="ssim")
    with pytest.raises(ValueError, match="temperature is 0; allowed: a number above 0"):
        CombinedLoss(PAPER, temperature=0)


def test_a_missing_output_is_named():
    o = outputs()
    del o["count_target"]
    with pytest.raises(ValueError, match="loss term count needs count_target; found reconstruction, "):
        CombinedLoss(PAPER)(o, IDS)
    with pytest.raises(ValueError, match="loss term contrast needs volume_id"):
        CombinedLoss({"contrast": 1})(o)
