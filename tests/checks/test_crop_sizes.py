"""Crop, regions and window against a network that takes one crop size, and against those that take many."""

from __future__ import annotations

import pytest

from custom_components.checks.crop_sizes import check_input, check_masks, check_regions

SIZE = (64, 32, 32)


@pytest.mark.parametrize("roi", [32, (64, 32, 48), (32, 64, 32), (128, 64, 64)])
def test_unetr_takes_crops_of_its_img_size_only(make_network, roi):
    network = make_network("UNETR", size=SIZE)
    check_input(network, list(SIZE), 1)
    with pytest.raises(ValueError, match=r"roi_size \(.*\) does not fit UNETR: .* crops of \(64, 32, 32\) only"):
        check_input(network, roi, 1)


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet", "SwinUNETR"])
def test_the_other_networks_take_every_multiple_of_their_stride(make_network, name):
    for roi in (32, (64, 32, 96)):
        check_input(make_network(name), roi, 1)
    with pytest.raises(ValueError, match=rf"roi_size \(33, 33, 33\) does not fit {name}: .* multiple"):
        check_input(make_network(name), 33, 1)


def test_other_channels_raise_and_name_both_numbers(make_network, network_name):
    with pytest.raises(ValueError, match="the network takes 4 channels, in_channels is 1"):
        check_input(make_network(network_name, 4), SIZE, 1)


@pytest.mark.parametrize(("region", "window"), [(16, None), (16, 16), (32, (64, 32, 32)), ((64, 32, 32), None)])
def test_regions_and_windows_within_unetrs_crop_may_be_smaller(make_network, region, window):
    check_regions(make_network("UNETR", size=SIZE), SIZE, region, window)


@pytest.mark.parametrize(
    ("region", "window", "message"),
    [
        (8, None, r"region_size \(8, 8, 8\) does not fit UNETR: each side must be a positive multiple of 16"),
        (
            32,
            64,
            r"window_size is \(64, 64, 64\); allowed: multiples of region_size .* up to roi_size \(64, 32, 32\)",
        ),
    ],
)
def test_regions_off_unetrs_cells_and_windows_beyond_its_crop_raise(make_network, region, window, message):
    with pytest.raises(ValueError, match=message):
        check_regions(make_network("UNETR", size=SIZE), SIZE, region, window)


MASKS = {"roi_size": (64, 32, 32), "patch_size": (16, 8, 16), "mask_ratio": 0.5, "fill": "zero"}
TWO_LEVEL = {**MASKS, "mask_mode": "two_level", "region_size": 32, "region_ratio": 0.5}
BLOCK = {**MASKS, "mask_mode": "block", "block_size": (48, 16, 32)}
FOREGROUND = {**MASKS, "mask_mode": "foreground", "foreground_weight": 4.0}


@pytest.mark.parametrize(
    "masks",
    [
        TWO_LEVEL,
        {**TWO_LEVEL, "mask_ratio": [0.3, 0.5]},
        {**MASKS, "mask_mode": "uniform", "region_ratio": None, "region_size": None},
        {**MASKS, "mask_mode": "uniform", "mask_ratio": (0.6, 0.9)},
        {**TWO_LEVEL, "mask_mode": "uniform", "region_ratio": None},
        BLOCK,
        {**BLOCK, "mask_ratio": [0, 1], "region_size": 32},
        FOREGROUND,
        {**FOREGROUND, "foreground_above": -1000, "block_size": 5},
    ],
)
def test_masks_that_fit_pass(masks):
    check_masks(**masks)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            {**MASKS, "mask_mode": "blocks"},
            "mask_mode is 'blocks'; allowed: two_level, uniform, block, foreground",
        ),
        ({**TWO_LEVEL, "fill": "ones"}, "fill is 'ones'; allowed: zero, mean, noise, learned"),
        ({**TWO_LEVEL, "region_size": None}, "region_size is missing; mask_mode 'two_level' needs it, in voxels"),
        (
            {**TWO_LEVEL, "region_ratio": None},
            r"region_ratio is missing; mask_mode 'two_level' needs it, in \[0, 1\]",
        ),
        (
            {**TWO_LEVEL, "region_size": 24},
            r"region_size \(24, 24, 24\) is not a multiple of patch_size \(16, 8, 16\)",
        ),
        (
            {**TWO_LEVEL, "region_size": 64},
            r"roi_size \(64, 32, 32\) is not a multiple of region_size \(64, 64, 64\)",
        ),
        ({**BLOCK, "region_size": 64}, r"roi_size \(64, 32, 32\) is not a multiple of region_size \(64, 64, 64\)"),
        ({**BLOCK, "roi_size": 40}, r"roi_size \(40, 40, 40\) is not a multiple of patch_size \(16, 8, 16\)"),
        (
            {**TWO_LEVEL, "mask_ratio": 0, "region_ratio": 0},
            "mask_ratio is 0: nothing would be hidden; allowed: above",
        ),
        ({**BLOCK, "mask_ratio": [0, 0]}, r"mask_ratio is \[0, 0\]: nothing would be hidden"),
        ({**TWO_LEVEL, "mask_ratio": 7}, r"mask_ratio must be a number in \[0, 1\], found 7"),
        (
            {**BLOCK, "mask_ratio": [0.9, 0.6]},
            r"mask_ratio \[low, high\] must have low <= high, found \[0.9, 0.6\]",
        ),
        ({**TWO_LEVEL, "mask_ratio": [0.3, 0.9]}, "mask_ratio 0.9 and region_ratio 0.5 do not go together"),
        ({**TWO_LEVEL, "mask_ratio": [0.01, 0.5]}, "mask_ratio 0.01 and region_ratio 0.5 do not go together"),
        ({**TWO_LEVEL, "mask_ratio": [0, 0.5]}, r"mask_ratio \[0, 0.5\] must start above 0 in mode 'two_level'"),
        ({**BLOCK, "block_size": None}, "block_size is missing; mask_mode 'block' needs it, in voxels"),
        ({**BLOCK, "block_size": 24}, r"block_size \(24, 24, 24\) is not a multiple of patch_size \(16, 8, 16\)"),
        (
            {**BLOCK, "block_size": (64, 64, 32)},
            r"block_size \(64, 64, 32\) is larger than roi_size \(64, 32, 32\)",
        ),
        (
            {**FOREGROUND, "foreground_weight": None},
            "foreground_weight is missing; mask_mode 'foreground' needs it, a number above 0",
        ),
        ({**FOREGROUND, "foreground_weight": -1}, "foreground_weight must be a number above 0, found -1"),
        (
            {**FOREGROUND, "foreground_above": "air"},
            "foreground_above must be a number, an intensity; found 'air'",
        ),
    ],
)
def test_masks_that_do_not_fit_raise_and_name_the_keys(masks, message):
    with pytest.raises(ValueError, match=message):
        check_masks(**masks)
