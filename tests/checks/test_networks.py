"""Crop size and channels against a network that takes one crop size, and against those that take many."""

from __future__ import annotations

import pytest
from torch import nn

from custom_components.checks import NetworkShape

SIZE = (64, 32, 32)


@pytest.mark.parametrize("roi", [32, (64, 32, 48), (32, 64, 32), (128, 64, 64)])
def test_unetr_takes_crops_of_its_img_size_only(make_network, roi):
    network = make_network("UNETR", size=SIZE)
    NetworkShape(network, list(SIZE), ["CT"])()
    with pytest.raises(ValueError, match=r"roi_size \(.*\) does not fit UNETR: .* crops of \(64, 32, 32\) only"):
        NetworkShape(network, roi, ["CT"])()


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet", "SwinUNETR"])
def test_the_other_networks_take_every_multiple_of_their_stride(make_network, name):
    for roi in (32, (64, 32, 96)):
        NetworkShape(make_network(name), roi, ["CT"])()
    with pytest.raises(ValueError, match=rf"roi_size \(33, 33, 33\) does not fit {name}: .* multiple"):
        NetworkShape(make_network(name), 33, ["CT"])()


def test_other_channels_raise_and_name_both_numbers(network):
    NetworkShape(network(2, 3), 32, ["T1", "T2"], ["background", "core", "edema"])()
    with pytest.raises(ValueError, match="the network takes 2 channels; channels names 1: T1"):
        NetworkShape(network(2, 3), 32, ["T1"])()
    with pytest.raises(ValueError, match="has 3 output channels; output_names has 2: background, core"):
        NetworkShape(network(2, 3), 32, ["T1", "T2"], ["background", "core"])()


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="Conv3d"):
        NetworkShape(nn.Conv3d(1, 1, 3), 32, ["CT"])()
