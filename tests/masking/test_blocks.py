import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.masking import draw_uniform
from custom_components.masking.blocks import draw_blocks

RATIOS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
GRIDS = st.tuples(*[st.integers(1, 5)] * 3)


def rng(seed=0):
    return np.random.RandomState(seed)


def equal_neighbours(mask):
    """Share of the pairs of neighbouring patches that are both masked or both visible, by a slow loop."""
    same = pairs = 0
    for place in np.ndindex(mask.shape):
        for axis in range(3):
            beside = tuple(p + (k == axis) for k, p in enumerate(place))
            if beside[axis] < mask.shape[axis]:
                pairs += 1
                same += bool(mask[place] == mask[beside])
    return same / pairs


@settings(max_examples=80, deadline=None)
@given(
    grid=GRIDS,
    block=st.tuples(*[st.integers(1, 7)] * 3),
    ratio=RATIOS,
    seed=st.integers(0, 999),
    share=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
)
def test_count_is_exact_and_only_valid_patches_are_masked(grid, block, ratio, seed, share):
    valid = rng(seed).random_sample(grid) < share
    mask = draw_blocks(valid, ratio, block, rng(seed + 1))
    assert mask.dtype == bool
    assert mask.shape == grid
    assert mask.sum() == round(ratio * int(valid.sum()))
    assert not (mask & ~valid).any()


@settings(max_examples=10, deadline=None)
@given(
    grid=st.tuples(st.integers(6, 8), st.integers(5, 7), st.integers(6, 9)),
    block=st.sampled_from([3, 4, (3, 4, 5)]),
    ratio=st.floats(0.2, 0.8),
    seed=st.integers(0, 999),
)
def test_masks_hang_together_more_than_uniform_ones(grid, block, ratio, seed):
    valid, random = np.ones(grid, dtype=bool), rng(seed)
    blocks = np.mean([equal_neighbours(draw_blocks(valid, ratio, block, random)) for _ in range(8)])
    uniform = np.mean([equal_neighbours(draw_uniform(valid, ratio, random)) for _ in range(8)])
    assert blocks > uniform + 0.03


def test_boxes_of_one_patch_are_a_uniform_draw():
    valid, random = np.ones((4, 2, 2), dtype=bool), rng(3)
    often = sum(draw_blocks(valid, 0.25, 1, random).astype(int) for _ in range(2000)) / 2000
    assert np.abs(often - 0.25).max() < 0.05  # five standard deviations


def test_boxes_reach_the_largest_blocks_sides_and_no_further():
    # Seven patches, one more than the largest box holds, are several boxes; in a grid this wide they do not meet.
    valid, random, longest = np.ones((40, 40, 40), dtype=bool), rng(0), []
    for _ in range(60):
        places = np.argwhere(draw_blocks(valid, 7 / valid.size, (3, 1, 2), random))
        assert len(places) == 7
        near = places[np.abs(places - places[0]).max(axis=1) <= 3]
        longest.append(np.ptp(near, axis=0) + 1)
    assert np.max(longest, axis=0).tolist() == [3, 1, 2]


def test_the_last_box_is_trimmed_to_what_lies_nearest_its_own_patch():
    # A single patch of a box is the one it was drawn for, so that all are equally likely; two are neighbours.
    valid, random = np.ones((3, 3, 3), dtype=bool), rng(1)
    often = sum(draw_blocks(valid, 1 / 27, 3, random).astype(int) for _ in range(2000)) / 2000
    assert np.abs(often - 1 / 27).max() < 0.022
    flat = np.ones((1, 1, 9), dtype=bool)
    gaps = [np.ptp(np.flatnonzero(draw_blocks(flat, 2 / 9, (1, 1, 9), rng(seed)))) for seed in range(100)]
    assert np.mean(np.asarray(gaps) == 1) > 0.8


def test_same_seed_gives_the_same_mask_and_another_seed_another():
    valid = np.ones((6, 4, 8), dtype=bool)
    one, same, other = (draw_blocks(valid, 0.4, (3, 2, 4), rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
