"""Fills of masked voxels, against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from custom_components.masking import mask_to_voxels
from custom_components.metrics import gaussian_fill, mean_fill

Triple = tuple[int, int, int]


def case(batch: int, channels: int, patch: Triple, grid: Triple) -> tuple[Tensor, Tensor]:
    """An image, and which of its voxels are visible: not masked, and valid."""
    generator = torch.Generator().manual_seed(0)
    size = [p * g for p, g in zip(patch, grid, strict=True)]
    image = 3 + torch.randn(batch, channels, *size, generator=generator)
    mask = torch.rand(batch, 1, *grid, generator=generator) < 0.6
    valid = torch.rand(batch, 1, *size, generator=generator) < 0.7
    return image, ~mask_to_voxels(mask, patch) & valid


def kernel(sigma: float) -> np.ndarray:
    """A Gaussian out to five standard deviations, with sum 1."""
    reach = max(int(5 * sigma + 0.5), 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return weights / weights.sum()


@pytest.mark.parametrize(("batch", "channels"), [(1, 1), (2, 3)])
def test_fills_equal_slow_loops(batch: int, channels: int) -> None:
    patch = (8, 4, 16)
    image, visible = case(batch, channels, patch, (2, 3, 1))
    means, found = mean_fill(image, visible), gaussian_fill(image, visible, patch)
    kernels = [kernel(side / 8) for side in patch]
    near = [len(kernel) // 2 for kernel in kernels]
    fallbacks = 0
    for b in range(batch):
        seen = [tuple(v) for v in visible[b, 0].nonzero().tolist()]
        for c in range(channels):
            mean = sum(float(image[b, c][v]) for v in seen) / len(seen)
            assert torch.allclose(means[b, c], torch.tensor(mean), atol=1e-5)
            for place in list(np.ndindex(*image.shape[2:]))[::29]:
                total = weight = 0.0
                for v in seen:
                    offsets = [a - p for a, p in zip(v, place, strict=True)]
                    if all(abs(o) <= n for o, n in zip(offsets, near, strict=True)):
                        w = math.prod(k[o + n] for k, o, n in zip(kernels, offsets, near, strict=True))
                        total, weight = total + w * float(image[b, c][v]), weight + w
                fallbacks += weight < 1e-5
                expected = total / weight if weight >= 1e-5 else mean
                assert float(found[b, c][place]) == pytest.approx(expected, abs=1e-4)
    assert fallbacks > 0, "some voxels are out of reach of every visible one"


def test_a_crop_without_a_visible_voxel_is_filled_with_zero() -> None:
    image = torch.full((2, 1, 4, 4, 4), 7.0)
    visible = torch.zeros(2, 1, 4, 4, 4, dtype=torch.bool)
    visible[1, 0, 0, 0, 0] = True
    for filled in (mean_fill(image, visible), gaussian_fill(image, visible, (4, 4, 4))):
        assert torch.equal(filled[0], torch.zeros(1, 4, 4, 4))
        assert torch.allclose(filled[1], torch.tensor(7.0))


def test_what_is_not_visible_is_never_read() -> None:
    image, visible = case(2, 2, (4, 4, 8), (2, 3, 2))
    other = torch.where(visible, image, 1e6)
    assert torch.equal(mean_fill(image, visible), mean_fill(other, visible))
    assert torch.equal(gaussian_fill(image, visible, (4, 4, 8)), gaussian_fill(other, visible, (4, 4, 8)))


def test_the_gaussian_follows_a_slope_that_the_mean_cannot() -> None:
    image = torch.arange(32.0).reshape(1, 1, 32, 1, 1).expand(1, 1, 32, 16, 16)
    visible = torch.ones(1, 1, 32, 16, 16, dtype=torch.bool)
    visible[:, :, 24:] = False
    masked = ~visible
    near = (gaussian_fill(image, visible, (8, 8, 8)) - image).abs()[masked].mean()
    far = (mean_fill(image, visible) - image).abs()[masked].mean()
    assert near < 0.8 * far
