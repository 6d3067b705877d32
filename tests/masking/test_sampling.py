import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from custom_components.masking import draw_two_level, draw_uniform
from custom_components.masking.grid import masked_count
from custom_components.masking.sampling import check_two_level

RATIOS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
TRIPLES = st.tuples(*[st.integers(1, 3)] * 3)


def rng(seed=0):
    return np.random.RandomState(seed)


def per_region(grid, region):
    """Split a grid into regions by plain slicing, C order."""
    rd, rh, rw = region
    return [
        grid[d : d + rd, h : h + rh, w : w + rw]
        for d in range(0, grid.shape[0], rd)
        for h in range(0, grid.shape[1], rh)
        for w in range(0, grid.shape[2], rw)
    ]


def feasible(grid, mask_ratio, region_ratio, region):
    try:
        check_two_level(grid, mask_ratio, region_ratio, region)
    except ValueError:
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(grid=TRIPLES, ratio=RATIOS, seed=st.integers(0, 999), share=st.floats(0, 1))
def test_uniform_count_is_exact_and_only_valid_patches_are_masked(grid, ratio, seed, share):
    valid = rng(seed).random_sample(grid) < share
    mask = draw_uniform(valid, ratio, rng(seed))
    assert mask.dtype == bool
    assert mask.shape == grid
    assert mask.sum() == round(ratio * int(valid.sum()))
    assert not (mask & ~valid).any()


@settings(max_examples=60, deadline=None)
@given(regions=TRIPLES, region=TRIPLES, ratio=RATIOS, region_ratio=RATIOS, seed=st.integers(0, 999))
def test_two_level_counts_are_exact_on_a_valid_grid(regions, region, ratio, region_ratio, seed):
    grid = tuple(a * b for a, b in zip(regions, region, strict=True))
    assume(feasible(grid, ratio, region_ratio, region))
    mask = draw_two_level(np.ones(grid, dtype=bool), ratio, region_ratio, region, rng(seed))
    assert mask.sum() == masked_count(ratio, mask.size)
    touched = sum(bool(r.any()) for r in per_region(mask, region))
    assert touched == (masked_count(region_ratio, int(np.prod(regions))) if mask.any() else 0)


@settings(max_examples=80, deadline=None)
@given(
    regions=TRIPLES,
    region=TRIPLES,
    ratio=RATIOS,
    region_ratio=RATIOS,
    seed=st.integers(0, 999),
    share=st.floats(0, 0.99),
)
def test_two_level_total_is_exact_on_a_partly_valid_grid(regions, region, ratio, region_ratio, seed, share):
    grid = tuple(a * b for a, b in zip(regions, region, strict=True))
    assume(feasible(grid, ratio, region_ratio, region))
    valid = rng(seed).random_sample(grid) < share
    mask = draw_two_level(valid, ratio, region_ratio, region, rng(seed + 1))
    total = round(ratio * int(valid.sum()))
    assert mask.sum() == total
    assert not (mask & ~valid).any()
    room = sorted((int(r.sum()) for r in per_region(valid, region) if r.any()), reverse=True)
    fitting = [k for k in range(len(room) + 1) if k <= total <= sum(room[:k])]
    wanted = masked_count(region_ratio, len(room))
    touched = sum(bool(r.any()) for r in per_region(mask, region))
    assert touched == min(fitting, key=lambda k: abs(k - wanted))


def test_ratio_zero_masks_nothing_and_ratio_one_everything():
    valid = np.ones((4, 2, 6), dtype=bool)
    valid[0, 0, :3] = False
    for region_ratio in (0.0, 0.5, 1.0):
        assert not draw_two_level(valid, 0.0, region_ratio, 2, rng()).any()
    assert np.array_equal(draw_two_level(valid, 1.0, 1.0, 2, rng()), valid)
    assert not draw_uniform(valid, 0, rng()).any()
    assert np.array_equal(draw_uniform(valid, 1, rng()), valid)


def test_a_grid_without_a_valid_patch_gives_an_empty_mask():
    nothing = np.zeros((4, 4, 2), dtype=bool)
    assert not draw_two_level(nothing, 0.5, 1.0, 2, rng()).any()
    assert not draw_uniform(nothing, 0.5, rng()).any()


@pytest.mark.parametrize(("ratio", "region_ratio"), [(0.9, 0.25), (0.05, 1.0), (0.5, 0.0)])
def test_infeasible_pair_names_both_ratios_and_the_counts(ratio, region_ratio):
    regions, total, touched = 8, round(ratio * 64), round(region_ratio * 8)
    message = (
        rf"mask_ratio {ratio} and region_ratio {region_ratio} .*\(4, 4, 4\) patches: {total} of 64 .*"
        rf"{touched} of {regions} regions of 8 patches, which can hold {touched} to {touched * 8}"
    )
    with pytest.raises(ValueError, match=message):
        check_two_level((4, 4, 4), ratio, region_ratio, 2)


def test_same_seed_gives_the_same_mask_and_another_seed_another():
    valid = np.ones((6, 4, 8), dtype=bool)
    draws = [draw_two_level(valid, 0.4, 0.75, 2, rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_every_patch_is_masked_equally_often():
    valid = np.ones((4, 2, 2), dtype=bool)
    random = rng(3)
    for draw in (
        lambda: draw_uniform(valid, 0.25, random),
        lambda: draw_two_level(valid, 0.25, 0.5, 2, random),
    ):
        often = sum(draw().astype(int) for _ in range(2000)) / 2000
        assert np.abs(often - 0.25).max() < 0.05  # five standard deviations


def test_regions_share_the_total_at_random():
    valid, random, seen = np.ones((4, 2, 2), dtype=bool), rng(0), set()
    for _ in range(300):
        mask = draw_two_level(valid, 0.5, 1.0, 2, random)
        seen.add(int(mask[:2].sum()))
    # the share is hypergeometric around 4: not always equal, and never 0 or 8
    assert {3, 4, 5} <= seen <= {1, 2, 3, 4, 5, 6, 7}


def test_no_more_drawn_regions_are_exchanged_than_the_total_needs():
    valid = np.zeros((2, 2, 16), dtype=bool)
    valid[..., :4] = True  # two regions of 8 patches, six of one
    valid[0, 0, 4::2] = True
    large = []
    for seed in range(40):
        mask = draw_two_level(valid, 0.5, 0.5, 2, rng(seed))  # 11 of 22 patches in 4 of 8 regions
        assert mask.sum() == 11
        touched = [bool(r.any()) for r in per_region(mask, (2, 2, 2))]
        assert sum(touched) == 4
        large.append(sum(touched[:2]))
    # One large region and three small ones just hold 11, so the second large one is never exchanged in.
    assert set(large) == {1, 2}
