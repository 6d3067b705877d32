"""Scores of a reconstruction beside those of the fills."""

from __future__ import annotations

import pytest
import torch

from custom_components.masking import mask_to_voxels, normalize_patches
from custom_components.metrics import explained_share, gaussian_fill, mean_fill, reconstruction_scores

PATCH = (4, 2, 4)


def case(batch=2, channels=3):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, channels, 8, 6, 4, generator=generator)
    mask = torch.rand(batch, 1, 2, 3, 1, generator=generator) < 0.5
    valid = torch.rand(batch, 1, 8, 6, 4, generator=generator) < 0.8
    outputs = {
        "reconstruction": image + 0.1 * torch.randn(image.shape, generator=generator),
        "reconstruction_target": image,
        "reconstruction_mask": mask_to_voxels(mask, PATCH) & valid,
    }
    return outputs, valid


def slow_error(values, image, where, power):
    total = [
        sum(abs(float(values[b, c, d, h, w] - image[b, c, d, h, w])) ** power for c in range(image.shape[1]))
        / image.shape[1]
        for b, _, d, h, w in where.nonzero().tolist()
    ]
    return sum(total) / len(total)


@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (2, 3)])
def test_all_errors_are_over_the_same_masked_valid_voxels(batch, channels):
    outputs, valid = case(batch, channels)
    image, masked = outputs["reconstruction_target"], outputs["reconstruction_mask"]
    visible = valid & ~masked
    scores = reconstruction_scores(outputs, valid, PATCH)
    sources = {
        "masked": outputs["reconstruction"],
        "mean_fill": mean_fill(image, visible),
        "gaussian_fill": gaussian_fill(image, visible, PATCH),
    }
    expected = {
        f"{name}_{error}": slow_error(values, image, masked, power)
        for name, values in sources.items()
        for error, power in (("mae", 1), ("mse", 2))
    }
    expected["visible_mae"] = slow_error(outputs["reconstruction"], image, visible, 1)
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(expected, rel=1e-5)


def test_without_validity_every_voxel_counts():
    outputs, valid = case()
    whole = reconstruction_scores(outputs, torch.ones_like(valid), PATCH)
    assert reconstruction_scores(outputs, None, PATCH) == whole


def test_fills_of_normalised_targets_know_the_mean_and_deviation_of_a_patch_too():
    """So the mean fill predicts each patch's own mean, as a network that says 0 everywhere does."""
    outputs, valid = case()
    image = outputs["reconstruction_target"]
    target = normalize_patches(image, valid, PATCH)
    zero = torch.zeros_like(image)
    normalised = {
        "reconstruction": zero,
        "reconstruction_target": target.image,
        "reconstruction_mask": outputs["reconstruction_mask"],
        "rescaled_reconstruction": zero * target.deviation + target.mean,
        "rescaled_target": image,
    }
    scores = reconstruction_scores(normalised, valid, PATCH)
    assert float(scores["masked_mae"]) == pytest.approx(float(scores["mean_fill_mae"]), rel=1e-3)
    assert float(scores["masked_mse"]) == pytest.approx(float(scores["mean_fill_mse"]), rel=1e-3)
    plain = reconstruction_scores(outputs, valid, PATCH)
    assert scores["mean_fill_mae"] < plain["mean_fill_mae"]


def test_explained_share():
    assert explained_share(0.25, 1.0) == 0.75
    assert explained_share(2.0, 1.0) == -1.0
    assert explained_share(0.0, 0.0) == 0.0
