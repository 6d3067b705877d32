"""Padding changes no loss."""

from __future__ import annotations

import pytest
import torch

from custom_components.losses import CombinedLoss
from custom_components.pretext import HybridMIM

SHAPE = (64, 64, 32)  # regions 2 x 2 x 1 of 2 x 2 x 2 patches
WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}


@pytest.fixture
def case():
    """Image, mask and validity of two samples: the last region row is padding, and a part of a masked patch."""
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(2, 1, *SHAPE, generator=generator)
    valid = torch.ones(2, 1, *SHAPE, dtype=torch.bool)
    valid[:, :, 32:, 32:] = False
    valid[:, :, :, 24:32, :] = False
    mask = torch.rand(2, 1, 4, 4, 2, generator=generator) < 0.5
    mask[:, :, 2:, 2:] = False  # no transform masks a patch without a valid voxel
    mask[:, :, 0, 1, 0] = True
    return image, mask, valid


@pytest.fixture
def pretext(make_network):
    return HybridMIM(make_network("BasicUNet"), contrast_features=8)


def voxels(mask):
    return mask.repeat_interleave(16, 2).repeat_interleave(16, 3).repeat_interleave(16, 4)


def test_padding_under_a_masked_patch_changes_no_loss(pretext, case):
    image, mask, valid = case
    padded_and_masked = voxels(mask) & ~valid
    assert padded_and_masked.sum() > 100
    losses = []
    for value in (0.0, 50.0):
        torch.manual_seed(0)
        changed = torch.where(padded_and_masked, torch.full_like(image, value), image)
        losses.append(CombinedLoss(WEIGHTS)(pretext.train()(changed, mask, valid), torch.tensor([0, 1])))
    assert set(losses[0]) == {"loss", *WEIGHTS, "negatives"}
    for name in losses[0]:
        assert torch.equal(losses[0][name], losses[1][name]), name


def test_no_prediction_over_padding_gets_gradient(pretext, case):
    image, mask, valid = case
    outputs = pretext.train()(image, mask, valid)
    logits = {name: outputs[name] for name in ("reconstruction", "count_logits", "position_logits")}
    for value in logits.values():
        value.retain_grad()
    CombinedLoss({k: v for k, v in WEIGHTS.items() if k != "contrast"})(outputs)["loss"].backward()
    assert torch.equal(logits["reconstruction"].grad != 0, voxels(mask) & valid)
    padding = torch.tensor([False, False, False, True])  # the region row behind both cuts
    assert torch.equal(outputs["region_valid"], ~padding.expand(2, 4))
    assert (logits["count_logits"].grad[:, padding] == 0).all()
    assert (logits["position_logits"].grad[:, padding] == 0).all()
    assert (logits["count_logits"].grad[:, ~padding] != 0).any(-1).all()
    assert (logits["position_logits"].grad[outputs["patch_valid"]] != 0).all()


def test_what_a_head_says_about_padding_changes_no_loss(pretext, case):
    image, mask, valid = case
    outputs = pretext.eval()(image, mask, valid)
    terms = {k: v for k, v in WEIGHTS.items() if k != "contrast"}
    before = CombinedLoss(terms)(outputs)
    spoilt = dict(outputs)
    spoilt["reconstruction"] = outputs["reconstruction"].masked_fill(~valid, 1e3)
    spoilt["reconstruction_target"] = image.masked_fill(~valid, -1e3)
    spoilt["position_logits"] = outputs["position_logits"].masked_fill(~outputs["patch_valid"], 9.0)
    spoilt["count_logits"] = outputs["count_logits"] * torch.where(outputs["region_valid"], 1.0, -5.0)[..., None]
    after = CombinedLoss(terms)(spoilt)
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]), name


def test_all_valid_is_the_same_as_no_validity_given(pretext, case):
    image, mask, valid = case
    outputs = [pretext.eval()(image, mask, v) for v in (None, torch.ones_like(valid))]
    for name in outputs[0]:
        assert torch.equal(outputs[0][name], outputs[1][name]), name


def test_a_wholly_padded_batch_gives_zeros_with_graph(pretext, case):
    image, mask, valid = case
    outputs = pretext.train()(image, torch.zeros_like(mask), torch.zeros_like(valid))
    terms = {k: v for k, v in WEIGHTS.items() if k != "contrast"}
    values = CombinedLoss(terms)(outputs)
    assert all(value == 0 for value in values.values())
    values["loss"].backward()
