"""Finding the adapter of a network, and what every adapter says about its network."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet, SegResNet, SwinUNETR
from torch import nn

from custom_components.backbones import BACKBONES, adapt, register
from custom_components.backbones.convolutional import BasicUNetBackbone


def test_a_network_without_adapter_raises_and_names_the_known_ones():
    names = ", ".join(sorted(network.__name__ for network in BACKBONES))
    with pytest.raises(ValueError, match=f"no backbone adapter for Conv3d; known networks: {names}$"):
        adapt(nn.Conv3d(1, 1, 3))


def test_a_subclass_is_not_taken_for_its_parent_until_it_is_registered(monkeypatch):
    class Changed(BasicUNet):
        pass

    network = Changed(3, 1, 1, features=(4, 4, 4, 4, 4, 4))
    with pytest.raises(ValueError, match="no backbone adapter for Changed"):
        adapt(network)
    monkeypatch.setitem(BACKBONES, Changed, None)  # taken out again after the test
    register(Changed, BasicUNetBackbone)
    assert adapt(network).net is network


def test_networks_that_cannot_be_cut_into_stages_raise():
    with pytest.raises(ValueError, match="use_conv_final=True"):
        adapt(SegResNet(3, init_filters=8, use_conv_final=False))
    with pytest.raises(ValueError, match="4 blocks_down and 2 blocks_up"):
        adapt(SegResNet(3, init_filters=8, blocks_up=(1, 1)))
    with pytest.raises(ValueError, match="patch_size 4"):
        adapt(SwinUNETR(1, 1, feature_size=12, patch_size=4))


@pytest.mark.parametrize("channels", [(1, 1), (4, 3)])
def test_channels_and_strides_are_those_of_the_network(make_network, network_name, channels):
    backbone = adapt(make_network(network_name, *channels, size=(32, 32, 64)).eval())
    assert (backbone.in_channels, backbone.out_channels) == channels
    encoded = backbone.encode(torch.randn(1, channels[0], 32, 32, 64))
    assert list(encoded.stages) == list(backbone.stages)
    for name, stride in zip(backbone.stages, backbone.strides, strict=True):
        assert encoded.stages[name].shape[2:] == (32 // stride, 32 // stride, 64 // stride)
    sides = [side // backbone.stride for side in (32, 32, 64)]
    assert encoded.bottleneck.shape == (1, backbone.bottleneck_channels, *sides)


def test_encoder_keys_are_the_parameters_that_encode_reaches(make_network, network_name):
    network = make_network(network_name)
    backbone = adapt(network)
    backbone.encode(torch.randn(2, 1, 64, 32, 32)).bottleneck.square().sum().backward()
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert reached == set(backbone.encoder_keys()) & dict(network.named_parameters()).keys()
    assert set(backbone.encoder_keys()) < set(network.state_dict())


def test_stems_are_all_the_weights_that_see_the_input_channels(make_network, network_name):
    one, four = make_network(network_name, 1, 2), make_network(network_name, 4, 2)
    differing = {key for key, value in one.state_dict().items() if value.shape != four.state_dict()[key].shape}
    assert differing == set(adapt(one).input_convs)


def test_output_layer_is_all_that_sees_the_output_channels(make_network, network_name):
    one, four = make_network(network_name, 1, 1), make_network(network_name, 1, 14)
    differing = {key for key, value in one.state_dict().items() if value.shape != four.state_dict()[key].shape}
    prefix = adapt(one).output_layer + "."
    assert differing == {key for key in one.state_dict() if key.startswith(prefix)}


def test_check_size_names_the_size_and_the_stride(make_network, network_name):
    backbone = adapt(make_network(network_name))
    backbone.check_size("roi", (backbone.stride, 2 * backbone.stride, backbone.stride))
    for size in ((backbone.stride, backbone.stride, backbone.stride + 4), (0, backbone.stride, backbone.stride)):
        with pytest.raises(ValueError, match=rf"roi .* {network_name}: .* multiple of {backbone.stride}"):
            backbone.check_size("roi", size)


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet", "SwinUNETR"])
def test_networks_that_learn_no_positions_take_crops_of_any_multiple_of_the_stride(make_network, name):
    backbone = adapt(make_network(name))
    assert (backbone.crop_size, backbone.position_keys, backbone.unused_parameters) == (None, (), ())
    for sides in ((1, 2, 3), (2, 2, 2)):
        backbone.check_crop("roi", [backbone.stride * side for side in sides])
    with pytest.raises(ValueError, match=rf"roi \(7, 7, 7\) does not fit {name}: .* multiple of"):
        backbone.check_crop("roi", (7, 7, 7))
