"""The closed-form classifier of the dense probe, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from custom_components.metrics import ProbeSums, balanced_accuracy, confusion, mean_dice, sample_features
from custom_components.metrics.linear_probe import SHRINKAGE

SIZE = (8, 12, 16)


def scales(batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = {3: SIZE, 4: (4, 6, 8), 5: (1, 3, 2)}
    return [torch.randn(batch, channels, *size, generator=generator) for channels, size in sizes.items()]


def test_sampled_features_are_those_of_an_upsampled_map():
    features = scales()
    upsampled = torch.cat([interpolate(f, SIZE, mode="trilinear", align_corners=False) for f in features], 1)[0]
    voxels = torch.cartesian_prod(torch.arange(8), torch.arange(12), torch.arange(16))
    found = sample_features(features, voxels, SIZE)
    torch.testing.assert_close(found, upsampled.flatten(1).T, rtol=1e-4, atol=1e-5)


def blobs(number=60, seed=0):
    """Three classes around different means; the last feature never changes, and class 3 has no sample."""
    rng = np.random.RandomState(seed)
    centers = rng.randn(3, 5) * 2
    classes = np.repeat([0, 1, 2], number)
    varying = centers[classes] + rng.randn(3 * number, 5) * [1, 2, 1, 5, 1]
    features = np.concatenate([varying, np.full((3 * number, 1), 4)], 1)
    return torch.from_numpy(features).float(), torch.from_numpy(classes)


def slow_probe(features, classes, frequencies):
    """Linear discriminant analysis, one class and one sample at a time."""
    x, y = features.double().numpy()[:, :5], classes.numpy()
    means = np.stack([x[y == k].mean(0) for k in range(3)])
    within = sum(np.outer(row - means[k], row - means[k]) for row, k in zip(x, y, strict=True)) / len(x)
    scale = np.sqrt(np.diag(within))
    covariance = (1 - SHRINKAGE) * within / np.outer(scale, scale) + SHRINKAGE * np.eye(5)
    scores = np.empty((len(x), 3))
    for k in range(3):
        center = means[k] / scale
        weights = np.linalg.inv(covariance) @ center
        scores[:, k] = x / scale @ weights - 0.5 * center @ weights
    return scores, np.log(frequencies / frequencies.sum())


def test_the_classifier_is_regularised_discriminant_analysis():
    features, classes = blobs()
    frequencies = torch.tensor([900, 90, 10, 0])
    sums = ProbeSums(4, 6)
    sums.add(features[:100], classes[:100], frequencies)
    sums.add(features[100:], classes[100:], torch.zeros(4))
    probe = sums.fit()
    as_volume = features.T.reshape(1, 6, 10, 18, 1)
    found = probe.scores([as_volume[:, :2], as_volume[:, 2:]], (10, 18, 1))[0].flatten(1).T
    expected, prior = slow_probe(features, classes, np.array([900, 90, 10]))
    np.testing.assert_allclose(found[:, :3].numpy(), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(probe.log_prior[:3].numpy(), prior, rtol=1e-5)
    assert torch.all(found[:, 3] == -torch.inf), "a class without samples is never predicted"
    assert (found.argmax(1) == classes).float().mean() > 0.8


def test_scores_of_scales_equal_those_of_upsampled_features():
    features = scales(batch=2)
    sums = ProbeSums(2, 12)
    generator = torch.Generator().manual_seed(3)
    sums.add(torch.randn(50, 12, generator=generator), torch.arange(50) % 2, torch.tensor([5, 5]))
    probe = sums.fit()
    upsampled = torch.cat([interpolate(f, SIZE, mode="trilinear", align_corners=False) for f in features], 1)
    torch.testing.assert_close(probe.scores(features, SIZE), probe.scores([upsampled], SIZE), rtol=1e-4, atol=1e-5)


def test_sums_of_two_ranks_add_up_to_those_of_one():
    features, classes = blobs()
    frequencies = torch.tensor([3, 4, 5, 0])
    whole, first, second = (ProbeSums(4, 6) for _ in range(3))
    for part, sums in ((slice(0, 70), first), (slice(70, None), second)):
        sums.add(features[part], classes[part], frequencies)
        whole.add(features[part], classes[part], frequencies)
    first.total += second.total
    torch.testing.assert_close(first.total, whole.total)
    torch.testing.assert_close(first.fit().weights, whole.fit().weights)


def test_dice_and_balanced_accuracy_equal_slow_loops():
    rng = np.random.RandomState(0)
    true, predicted = rng.randint(0, 4, 500), rng.randint(0, 4, 500)
    true[true == 3] = 0  # no label holds class 3
    table = confusion(torch.from_numpy(predicted), torch.from_numpy(true), 4)
    assert table.tolist() == [[int(((true == t) & (predicted == p)).sum()) for p in range(4)] for t in range(4)]
    dice, recall = [], []
    for k in range(3):
        hits, labelled, found = (int(m.sum()) for m in ((true == k) & (predicted == k), true == k, predicted == k))
        dice.append(2 * hits / (labelled + found))
        recall.append(hits / labelled)
    assert mean_dice(table) == pytest.approx(np.mean(dice[1:]))
    assert balanced_accuracy(table) == pytest.approx(np.mean(recall))
    assert np.isnan(mean_dice(torch.tensor([[5, 1], [0, 0]])))
