"""Decoding a window is decoding everything and cropping, but for the decoder's receptive field at its border.

The networks here have no norm with spatial statistics: such a norm sees the window instead of the crop, which
is a documented difference and has a test of its own below.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from custom_components.backbones import Encoded, adapt

FULL = slice(None)


def cases(stride, reach):
    """Crops with a window: one cut at both ends of an axis, one cut at one end of two axes."""
    both, one = (stride * (ends * reach // stride + 1) for ends in (2, 1))  # some voxels are beyond the reach
    axis = slice(0, stride)
    yield (both + 2 * stride, stride, stride), (slice(stride, stride + both), axis, axis)
    yield (one + stride, stride, one + stride), (slice(0, one), axis, slice(stride, stride + one))


def without_spatial_statistics(network: nn.Module) -> nn.Module:
    """A copy in which every norm over space is gone; layer norms over channels stay."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.InstanceNorm3d, nn.GroupNorm, nn.BatchNorm3d)):
                setattr(parent, name, nn.Identity())
    return network.eval()


def interior(window, spatial, reach):
    """The window less ``reach`` voxels at each face that is not the crop's own, as slices of the window."""
    inner = []
    for side, size in zip(window, spatial, strict=True):
        length = side.stop - side.start
        inner.append(slice(0 if side.start == 0 else reach, length if side.stop == size else length - reach))
    return tuple(inner)


@pytest.mark.parametrize("number", [0, 1])
def test_window_equals_the_crop_of_everything_within_its_interior(make_network, network_name, reach, number):
    spatial, window = list(cases(adapt(make_network(network_name)).stride, reach))[number]
    backbone = adapt(without_spatial_statistics(make_network(network_name, size=spatial)))
    image = torch.randn(1, 1, *spatial, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoded = backbone.encode(image)
        expected = backbone.decode(encoded)[(FULL, FULL, *window)]
        found = backbone.decode(encoded, window)
    assert found.shape == expected.shape
    inner = (FULL, FULL, *interior(window, spatial, reach))
    compared = expected[inner]
    assert compared.numel() > 0
    assert min(compared.shape) > 0
    assert compared.std() > 0
    torch.testing.assert_close(found[inner], compared, rtol=1e-4, atol=1e-4 * float(compared.std()))
    # Without the margin the two do differ: the test would see a decoder that reads beyond its window.
    assert (found - expected).abs().max() > 1e-2 * compared.std()


def test_reach_is_what_the_decoder_really_reads(make_network, network_name, reach):
    """NaN spreads to all that reads it: features spoiled behind a cut spoil the output up to the reach."""
    side = 32 if network_name == "SwinUNETR" else 16
    spatial = (side, side, 192)
    backbone = adapt(without_spatial_statistics(make_network(network_name, size=spatial)))
    cut = 192 - side
    with torch.no_grad():
        encoded = backbone.encode(torch.randn(1, 1, *spatial))

        def spoil(features, stride):
            features = features.clone()
            features[..., cut // stride :] = torch.nan
            return features

        spoilt = Encoded(
            spoil(encoded.image, 1),
            {
                name: spoil(encoded.stages[name], stride)
                for name, stride in zip(backbone.stages, backbone.strides, strict=True)
            },
            spoil(encoded.bottleneck, backbone.stride),
        )
        output = backbone.decode(spoilt)
    first = int(output.isnan().any(dim=1).flatten(0, 2).any(dim=0).nonzero()[0])
    assert first == cut - reach


def test_instance_norm_sees_the_window_only(make_network, network_name, reach):
    if reach >= 80:
        pytest.skip("nothing of this window is beyond the reach")
    backbone = adapt(make_network(network_name, size=(96, 32, 32)).eval())
    image = torch.randn(1, 1, 96, 32, 32, generator=torch.Generator().manual_seed(1)).cumsum(2)
    with torch.no_grad():
        encoded = backbone.encode(image)
        window = (slice(0, 80), slice(0, 32), slice(0, 32))
        found, expected = backbone.decode(encoded, window), backbone.decode(encoded)[:, :, :80]
    inner = (FULL, FULL, slice(0, 80 - reach))
    assert expected[inner].numel() > 0
    assert (found[inner] - expected[inner]).abs().max() > 1e-3
    assert torch.equal(
        backbone.decode(encoded, (slice(0, 96), slice(0, 32), slice(0, 32))), backbone.decode(encoded)
    )


def test_a_window_costs_no_more_than_a_crop_of_its_size(make_network, network_name):
    """Every tensor the decoder makes is of the window's size: nothing is computed and thrown away."""
    network = make_network(network_name, size=(64, 64, 96)).eval()
    backbone, sizes = adapt(network), []
    with torch.no_grad():
        encoded = backbone.encode(torch.randn(1, 1, 64, 64, 96))
        for module in network.modules():
            module.register_forward_hook(lambda m, args, out: sizes.append(out.shape[2:].numel()))
        backbone.decode(encoded, (slice(0, 64), slice(32, 64), slice(32, 64)))
    assert max(sizes) == 64 * 32 * 32
