import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.masking import (
    divide,
    flatten_grid,
    mask_to_voxels,
    patch_grid,
    patches_per_region,
    valid_patches,
)
from custom_components.masking.grid import masked_count, patch_sums, region_grid


@pytest.mark.parametrize(
    ("spatial", "patch", "expected"),
    [((96, 96, 96), 16, (6, 6, 6)), ((32, 64, 48), (16, 32, 8), (2, 2, 6)), ((8, 8, 8), 8, (1, 1, 1))],
)
def test_patch_grid_counts_patches_along_each_axis(spatial, patch, expected):
    assert patch_grid(spatial, patch) == expected


def test_patch_grid_names_both_sizes_when_they_do_not_divide():
    with pytest.raises(ValueError, match=r"\(32, 40, 32\).*not a multiple of patch_size \(16, 16, 16\)"):
        patch_grid((32, 40, 32), 16)


def test_patches_per_region_names_both_sizes_when_they_do_not_divide():
    assert patches_per_region(32, (16, 8, 32)) == (2, 4, 1)
    with pytest.raises(ValueError, match=r"region_size \(32, 32, 32\).*patch_size \(12, 12, 12\)"):
        patches_per_region(32, 12)


def test_region_grid_names_both_sizes_when_they_do_not_divide():
    assert region_grid((4, 6, 2), 2) == (2, 3, 1)
    with pytest.raises(ValueError, match=r"grid of patches \(4, 5, 2\).*\(2, 2, 2\)"):
        region_grid((4, 5, 2), 2)


@pytest.mark.parametrize("bad", [0, -16, 1.5, (16, 16), (16, 16, 0), "16", None])
def test_sizes_that_are_no_positive_triple_are_named(bad):
    with pytest.raises(ValueError, match="region_size is .*; allowed: one or three whole numbers from 1"):
        divide(32, bad, "roi_size", "region_size")


def test_rounding_is_pythons():
    assert [masked_count(0.5, n) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
    assert masked_count(0.4, 216) == 86
    assert masked_count(0, 216) == 0
    assert masked_count(1, 216) == 216


def test_flatten_grid_is_c_order():
    grid = torch.arange(2 * 2 * 3 * 4).reshape(2, 1, 2, 3, 4)
    flat = flatten_grid(grid)
    assert flat.shape == (2, 24)
    for b in range(2):
        for d in range(2):
            for h in range(3):
                for w in range(4):
                    assert flat[b, (d * 3 + h) * 4 + w] == grid[b, 0, d, h, w]


def test_flatten_grid_refuses_several_channels():
    with pytest.raises(ValueError, match=r"\(B, 1, depth, height, width\), found \(2, 3, 2, 2, 2\)"):
        flatten_grid(torch.zeros(2, 3, 2, 2, 2))


@settings(max_examples=20, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3),
    patch=st.tuples(*[st.integers(1, 4)] * 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_every_voxel_has_its_patchs_value(grid, patch, batch, seed):
    mask = torch.rand(batch, 1, *grid, generator=torch.Generator().manual_seed(seed)) < 0.5
    voxels = mask_to_voxels(mask, patch)
    assert voxels.dtype == torch.bool
    assert voxels.shape == (batch, 1, *(g * p for g, p in zip(grid, patch, strict=True)))
    index = torch.meshgrid(*[torch.arange(s) // p for s, p in zip(voxels.shape[2:], patch, strict=True)])
    assert torch.equal(voxels[:, 0], mask[:, 0][:, index[0], index[1], index[2]])
    assert torch.equal(valid_patches(voxels, patch), mask)


def test_one_valid_voxel_makes_a_patch_valid():
    valid = torch.zeros(1, 1, 4, 8, 6, dtype=torch.bool)
    valid[0, 0, 3, 4, 5] = True
    expected = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    expected[0, 0, 1, 1, 1] = True
    assert torch.equal(valid_patches(valid, (2, 4, 3)), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_patch_sums_are_those_of_plain_slices(channels):
    voxels = torch.randint(0, 9, (2, channels, 4, 6, 8))
    sums = patch_sums(voxels, (2, 3, 4))
    assert sums.shape == (2, channels, 2, 2, 2)
    for d in range(2):
        for h in range(2):
            for w in range(2):
                part = voxels[:, :, 2 * d : 2 * d + 2, 3 * h : 3 * h + 3, 4 * w : 4 * w + 4]
                assert torch.equal(sums[:, :, d, h, w], part.sum(dim=(2, 3, 4)))
    assert patch_sums(voxels > 3, 2).dtype == torch.long
    with pytest.raises(ValueError, match=r"\(4, 6, 8\) is not a multiple of patch_size \(3, 3, 3\)"):
        patch_sums(voxels, 3)
