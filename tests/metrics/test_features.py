"""The effective rank of features."""

from __future__ import annotations

import math

import pytest
import torch

from custom_components.metrics import effective_rank


def test_equal_directions_count_fully() -> None:
    features = torch.zeros(6, 10)
    for direction in range(3):
        features[2 * direction, direction], features[2 * direction + 1, direction] = 1.0, -1.0
    assert effective_rank(features + 5) == pytest.approx(3.0)


def test_unequal_directions_count_by_their_entropy() -> None:
    features = torch.zeros(4, 5)
    features[0, 0], features[1, 0] = 3.0, -3.0
    features[2, 1], features[3, 1] = 1.0, -1.0
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(features) == pytest.approx(expected)


def test_collapse_is_zero_and_one_direction_is_one() -> None:
    generator = torch.Generator().manual_seed(0)
    common = 100 * torch.randn(1, 64, generator=generator)
    assert effective_rank(common.expand(8, 64)) == 0.0
    rounding = 1e-6 * torch.randn(8, 64, generator=generator)
    assert effective_rank(common + rounding) == 0.0
    assert math.isnan(effective_rank(torch.full((3, 2), math.inf)))
    line = common + torch.randn(8, 1, generator=generator) * torch.randn(1, 64, generator=generator)
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-3)
