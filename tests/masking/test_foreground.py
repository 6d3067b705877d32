import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom_components.masking.foreground import draw_foreground, foreground_share

RATIOS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
TRIPLES = st.tuples(*[st.integers(1, 3)] * 3)


def rng(seed=0):
    return np.random.RandomState(seed)


def slow_share(images, valid, above, patch):
    """Share of foreground voxel by voxel, with plain loops."""
    grid = tuple(side // p for side, p in zip(valid.shape[1:], patch, strict=True))
    share = np.zeros(grid)
    for d, h, w in np.ndindex(grid):
        counted = lit = 0
        for a, b, c in np.ndindex(*patch):
            voxel = (d * patch[0] + a, h * patch[1] + b, w * patch[2] + c)
            if valid[(0, *voxel)]:
                counted += 1
                lit += any(float(image[(c, *voxel)]) > above for image in images for c in range(len(image)))
        share[d, h, w] = lit / counted if counted else 0
    return share


@settings(max_examples=25, deadline=None)
@given(
    grid=TRIPLES,
    patch=TRIPLES,
    channels=st.lists(st.sampled_from([1, 4]), min_size=1, max_size=2),
    above=st.sampled_from([-0.5, 0.0, 1.0]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 999),
)
def test_share_is_that_of_a_slow_loop(grid, patch, channels, above, share, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(g * p for g, p in zip(grid, patch, strict=True))
    images = [torch.randn(c, *shape, generator=generator) for c in channels]
    valid = torch.rand(1, *shape, generator=generator) < share
    found = foreground_share(images, valid, above, patch)
    assert found.dtype == np.float64
    assert np.array_equal(found, slow_share(images, valid, above, patch))


def test_a_known_block_of_foreground_is_found_in_its_patch():
    image = MetaTensor(torch.zeros(2, 4, 6, 8))
    image[1, 2:4, 3:5, 6:8] = 1.0  # patch (1, 1, 3) whole but for h = 5
    valid = torch.ones(1, 4, 6, 8, dtype=torch.bool)
    valid[:, 2, 3, 6] = False  # one of its lit voxels does not count
    share = foreground_share([image], valid, 0.5, (2, 3, 2))
    assert share[1, 1, 3] == 7 / 11
    share[1, 1, 3] = 0
    assert not share.any()


def test_what_is_as_bright_as_the_threshold_and_what_is_no_number_are_background():
    image = torch.tensor([0.5, float("nan"), 0.6, float("inf")]).reshape(1, 1, 1, 4)
    assert foreground_share([image], torch.ones(1, 1, 1, 4, dtype=torch.bool), 0.5, (1, 1, 4)).tolist() == [
        [[0.5]]
    ]


def test_an_image_that_is_no_multiple_of_the_patch_raises():
    with pytest.raises(ValueError, match=r"\(4, 4, 5\) is not a multiple of patch_size \(2, 2, 2\)"):
        foreground_share([torch.zeros(1, 4, 4, 5)], torch.ones(1, 4, 4, 5, dtype=torch.bool), 0, 2)


@settings(max_examples=60, deadline=None)
@given(
    grid=TRIPLES,
    ratio=RATIOS,
    weight=st.one_of(st.sampled_from([1, 4.0]), st.floats(1e-6, 1e6)),
    seed=st.integers(0, 999),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_count_is_exact_and_only_valid_patches_are_masked(grid, ratio, weight, seed, share):
    valid, lit = rng(seed).random_sample(grid) < share, rng(seed + 1).random_sample(grid).round()
    mask = draw_foreground(valid, ratio, lit, weight, rng(seed + 2))
    assert mask.dtype == bool
    assert mask.shape == grid
    assert mask.sum() == round(ratio * int(valid.sum()))
    assert not (mask & ~valid).any()


@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])
def test_the_first_patch_is_drawn_in_proportion_to_the_weights(weight):
    valid, share = np.ones((1, 2, 2), dtype=bool), np.asarray([[[0.0, 0.5], [1.0, 1.0]]])
    random = rng(5)
    often = sum(draw_foreground(valid, 0.25, share, weight, random).astype(int) for _ in range(4000)) / 4000
    chances = 1 + (weight - 1) * share
    assert np.abs(often - chances / chances.sum()).max() < 0.035  # more than four standard deviations


def test_the_second_patch_is_drawn_in_proportion_to_what_is_left():
    valid, share, random = np.ones((1, 1, 3), dtype=bool), np.asarray([[[0.0, 0.5, 1.0]]]), rng(6)
    often = sum(draw_foreground(valid, 0.67, share, 9.0, random).astype(int) for _ in range(4000)) / 4000
    w = [1.0, 5.0, 9.0]
    left_out = [
        sum(w[i] / 15 * w[j] / (15 - w[i]) for i in range(3) for j in range(3) if len({i, j, k}) == 3)
        for k in range(3)
    ]
    assert np.abs(often.flatten() - 1 + left_out).max() < 0.035


def test_foreground_is_preferred_and_more_so_with_more_weight():
    valid, share, random = np.ones((4, 4, 6), dtype=bool), np.zeros((4, 4, 6)), rng(0)
    share[:, :, :3] = 1.0
    lit = [
        np.mean([draw_foreground(valid, 0.5, share, weight, random)[:, :, :3].mean() for _ in range(200)])
        for weight in (0.1, 1.0, 4.0, 100.0)
    ]
    assert lit[0] < 0.4 < lit[1] < 0.6 < lit[2] < lit[3]
    assert abs(lit[1] - 0.5) < 0.02
    assert lit[3] > 0.9


def test_same_seed_gives_the_same_mask_and_another_seed_another():
    valid, share = np.ones((4, 3, 6), dtype=bool), rng(9).random_sample((4, 3, 6))
    one, same, other = (draw_foreground(valid, 0.4, share, 4.0, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_share_of_another_grid_raises_with_both_shapes():
    with pytest.raises(ValueError, match=r"share has shape \(1, 2, 1\); the grid of patches has \(1, 1, 2\)"):
        draw_foreground(np.ones((1, 1, 2), dtype=bool), 0.5, np.zeros((1, 2, 1)), 4.0, rng())
