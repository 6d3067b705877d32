"""Crop, regions and window against a network that takes one crop size, and against those that take many."""

from __future__ import annotations

import pytest

from custom_components.engine.geometry import check_input, check_regions

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
