"""The projection head against a loop, in training and in evaluation."""

from __future__ import annotations

import math

import pytest
import torch

from custom_components.heads import ProjectionHead


def by_loops(head, features, statistics):
    """Linear, norm, ReLU, linear, number by number; ``statistics``: mean and variance of each hidden feature."""
    first, second = (weight for weight in head.parameters() if weight.ndim == 2)
    scale, shift, bias = (vector for vector in head.parameters() if vector.ndim == 1)
    rows = []
    for row in features:
        hidden = []
        for j, (mean, variance) in enumerate(statistics):
            value = (float(first[j] @ row) - mean) / math.sqrt(variance + 1e-5) * float(scale[j]) + float(shift[j])
            hidden.append(max(0.0, value))
        rows.append([float(w @ torch.tensor(hidden) + b) for w, b in zip(second, bias, strict=True)])
    return torch.tensor(rows)


def build():
    torch.manual_seed(0)
    head = ProjectionHead(6, 5, 4)
    with torch.no_grad():  # away from 1 and 0, at which norms start
        for vector in [p for p in head.parameters() if p.ndim == 1]:
            vector.uniform_(0.5, 1.5)
    return head


@pytest.mark.parametrize("batch", [2, 3])
def test_pooled_crops_become_a_row_each(batch):
    assert ProjectionHead(6)(torch.randn(batch, 6)).shape == (batch, 128)
    assert ProjectionHead(6, 5, 4)(torch.randn(batch, 6)).shape == (batch, 4)
    assert ProjectionHead(6).eval()(torch.randn(1, 6)).shape == (1, 128)


def test_in_training_the_norm_is_over_the_batch():
    head, features = build(), torch.randn(3, 6) + 2
    first = next(weight for weight in head.parameters() if weight.ndim == 2)
    statistics = []
    for weight in first:
        values = [float(weight @ row) for row in features]
        mean = sum(values) / 3
        statistics.append((mean, sum((value - mean) ** 2 for value in values) / 3))
    torch.testing.assert_close(head(features), by_loops(head, features, statistics))


def test_in_evaluation_crops_are_projected_apart_with_the_statistics_of_training():
    head = build()
    for _ in range(50):
        head(torch.randn(64, 6) + 2)
    head.eval()
    norm = next(module for module in head.modules() if isinstance(module, torch.nn.BatchNorm1d))
    features = torch.randn(3, 6)
    statistics = [(float(m), float(v)) for m, v in zip(norm.running_mean, norm.running_var, strict=True)]
    torch.testing.assert_close(head(features), by_loops(head, features, statistics))
    changed = features.clone()
    changed[1] += 1
    assert (head(features) != head(changed)).any(dim=1).tolist() == [False, True, False]


def test_what_all_crops_share_is_taken_out():
    head, features = build(), torch.randn(4, 6)
    torch.testing.assert_close(head(features), head(features + 100.0), atol=1e-3, rtol=1e-3)
