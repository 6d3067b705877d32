import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.masking import (
    MODES,
    MaskSampler,
    Patches,
    draw_blocks,
    draw_foreground,
    draw_two_level,
    draw_uniform,
)

GRID = (4, 2, 6)
SIZES = {"patch_size": (2, 4, 2), "region_size": (4, 4, 4), "region_ratio": 0.75}
MORE = {"block_size": (4, 4, 6), "foreground_above": 0.1, "foreground_weight": 4.0}


def make(mode="two_level", mask_ratio=0.5, **more):
    return MaskSampler(mode, mask_ratio, **{**SIZES, **MORE, **more})


def patches(seed=0):
    random = np.random.RandomState(seed)
    return Patches(random.random_sample(GRID) < 0.8, random.random_sample(GRID))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_its_own_draw_from_the_same_random_stream(mode):
    valid, share = patches()
    rngs = [np.random.RandomState(7), np.random.RandomState(7)]
    expected = {
        "two_level": lambda: draw_two_level(valid, 0.5, 0.75, (2, 1, 2), rngs[1]),
        "uniform": lambda: draw_uniform(valid, 0.5, rngs[1]),
        "block": lambda: draw_blocks(valid, 0.5, (2, 1, 3), rngs[1]),
        "foreground": lambda: draw_foreground(valid, 0.5, share, 4.0, rngs[1]),
    }[mode]
    masks = make(mode)
    for _ in range(3):
        ratio = masks.draw_ratio(rngs[0])  # of a number: takes nothing from the stream
        assert np.array_equal(masks.draw(Patches(valid, share), ratio, rngs[0]), expected())


@pytest.mark.parametrize("mode", MODES)
def test_only_foreground_asks_for_the_image(mode):
    assert make(mode).foreground_above == (0.1 if mode == "foreground" else None)


@pytest.mark.parametrize("mode", MODES)
def test_modes_pickle_for_spawned_workers(mode):
    masks = make(mode, [0.4, 0.6])
    again = pickle.loads(pickle.dumps(masks))
    one, two = (m.draw(patches(), 0.5, np.random.RandomState(1)) for m in (masks, again))
    assert np.array_equal(one, two)


@settings(max_examples=30, deadline=None)
@given(ends=st.tuples(st.floats(0, 1), st.floats(0, 1)), seed=st.integers(0, 99))
def test_ratios_are_drawn_from_the_whole_pair_and_nothing_else(ends, seed):
    low, high = sorted(ends)
    masks = make("uniform", [low, high])
    random = np.random.RandomState(seed)
    ratios = [masks.draw_ratio(random) for _ in range(50)]
    assert all(low <= ratio <= high for ratio in ratios)
    assert low <= masks.middle_ratio <= high
    if high - low > 1e-6:
        assert max(ratios) - min(ratios) > (high - low) / 2


def test_a_number_is_its_own_middle_and_draw():
    masks = make("uniform", 0.45)
    assert masks.ratios == (0.45, 0.45)
    assert masks.middle_ratio == 0.45
    assert masks.draw_ratio(np.random.RandomState(0)) == 0.45
    assert make("uniform", (0.5, 1)).middle_ratio == 0.75


@pytest.mark.parametrize("mode", MODES)
def test_parameters_of_other_modes_are_not_looked_at(mode):
    others = {
        "two_level": {"block_size": 5, "foreground_above": None, "foreground_weight": -1},
        "uniform": {"region_size": 5, "region_ratio": 7, "block_size": None, "foreground_weight": None},
        "block": {"region_size": None, "region_ratio": None, "foreground_weight": 0},
        "foreground": {"region_size": 5, "region_ratio": None, "block_size": 5},
    }[mode]
    assert make(mode, **others).draw(patches(), 0.5, np.random.RandomState(0)).any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "blocks"}, "mode must be one of two_level, uniform, block, foreground; found 'blocks'"),
        ({"mask_ratio": 1.2}, r"mask_ratio must be a number in \[0, 1\], found 1.2"),
        ({"mask_ratio": [0.5]}, r"mask_ratio must be .* or a pair \[low, high\] of them, found \[0.5\]"),
        ({"mask_ratio": [0.9, 0.6]}, r"mask_ratio \[low, high\] must have low <= high, found \[0.9, 0.6\]"),
        ({"mask_ratio": [0.6, 9]}, r"mask_ratio \[low, high\]: high must be a number in \[0, 1\], found 9"),
        ({"mask_ratio": [0, 0.6]}, r"mask_ratio \[0, 0.6\] must start above 0 in mode 'two_level'"),
        (
            {"region_ratio": None},
            r"mode 'two_level' needs region_size and region_ratio, found \(4, 4, 4\) and None",
        ),
        ({"patch_size": 0}, "patch_size must be one or three positive whole numbers, found 0"),
        ({"mode": "block", "block_size": None}, "mode 'block' needs block_size, found None"),
        (
            {"mode": "block", "block_size": (4, 6, 4)},
            r"block_size \(4, 6, 4\) is not a multiple of patch_size \(2, 4, 2\)",
        ),
        (
            {"mode": "foreground", "foreground_weight": None},
            "mode 'foreground' needs foreground_weight, found None",
        ),
        (
            {"mode": "foreground", "foreground_weight": 0},
            "foreground_weight must be a number above 0, found 0",
        ),
        ({"mode": "foreground", "foreground_above": None}, "foreground_above must be a number, .*; found None"),
        (
            {"mode": "foreground", "foreground_above": float("nan")},
            "foreground_above must be a number, .*; found nan",
        ),
    ],
)
def test_wrong_parameters_raise_and_name_what_was_found(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize("pair", [[0.5, 0.9], [0.05, 0.5]])
def test_every_ratio_of_a_pair_must_go_with_the_region_ratio(pair):
    masks = make("two_level", pair)  # 9 of 12 regions of 4 patches
    infeasible = max(pair, key=lambda ratio: abs(ratio - 0.5))
    with pytest.raises(ValueError, match=f"mask_ratio {infeasible} and region_ratio 0.75 do not go together"):
        masks.check_grid(GRID)
    with pytest.raises(ValueError, match=f"mask_ratio {infeasible} and region_ratio 0.75"):
        masks.draw(patches(), 0.5, np.random.RandomState(0))  # whatever ratio was drawn
    make("uniform", pair).check_grid(GRID)
