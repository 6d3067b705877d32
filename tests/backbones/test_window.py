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

# How many voxels inside the window its border can reach. Every 3³ convolution adds a cell of its level; a
# transposed convolution of kernel and stride 2 doubles the cells; linear upsampling doubles them and adds one.
# BasicUNet:  two convolutions at strides 8, 4, 2, 1:           ((2 * 2 + 2) * 2 + 2) * 2 + 2 = 30
# SegResNet:  upsampling and two convolutions at 4, 2, 1:       1 + 2 = 3, 2 * 3 + 3 = 9, 2 * 9 + 3 = 21
# SwinUNETR:  two convolutions at 32, 16, 8, 4, 2, 1:           2 -> 6 -> 14 -> 30 -> 62 -> 126
# UNETR:      two convolutions at 8, 4, 2, 1, as BasicUNet; the skips' own blocks reach less (18 by encoder2):  30
# UNETRPatch8: two convolutions at 4, 2, 1:                     2 -> 6 -> 14
REACH = {"BasicUNet": 30, "SegResNet": 21, "SwinUNETR": 126, "UNETR": 30, "UNETRPatch8": 14}

FULL = slice(None)
CASES = {
    "BasicUNet": [
        ((96, 64, 80), (slice(16, 80), slice(0, 48), slice(0, 64))),
        ((16, 96, 32), (slice(0, 16), slice(16, 80), slice(0, 32))),
    ],
    "SegResNet": [
        ((64, 48, 72), (slice(8, 56), slice(0, 40), slice(16, 64))),
        ((64, 32, 16), (slice(8, 56), slice(0, 32), slice(0, 16))),
    ],
    "SwinUNETR": [
        ((192, 32, 32), (slice(0, 160), slice(0, 32), slice(0, 32))),
        ((32, 192, 32), (slice(0, 32), slice(32, 192), slice(0, 32))),
    ],
    "UNETR": [
        ((96, 48, 64), (slice(16, 80), slice(0, 48), slice(0, 48))),
        ((32, 16, 96), (slice(0, 32), slice(0, 16), slice(32, 96))),
    ],
    "UNETRPatch8": [
        ((56, 24, 40), (slice(8, 48), slice(0, 24), slice(0, 24))),
        ((16, 8, 56), (slice(0, 16), slice(0, 8), slice(24, 56))),
    ],
}


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


@pytest.mark.parametrize(
    ("name", "spatial", "window"),
    [pytest.param(name, *case, id=f"{name}-{i}") for name, cases in CASES.items() for i, case in enumerate(cases)],
)
def test_window_equals_the_crop_of_everything_within_its_interior(make_network, name, spatial, window):
    backbone = adapt(without_spatial_statistics(make_network(name, size=spatial)))
    image = torch.randn(1, 1, *spatial, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoded = backbone.encode(image)
        expected = backbone.decode(encoded)[(FULL, FULL, *window)]
        found = backbone.decode(encoded, window)
    assert found.shape == expected.shape
    inner = (FULL, FULL, *interior(window, spatial, REACH[name]))
    compared = expected[inner]
    assert compared.numel() > 0
    assert min(compared.shape) > 0
    assert compared.std() > 0
    torch.testing.assert_close(found[inner], compared, rtol=1e-4, atol=1e-4 * float(compared.std()))
    # Without the margin the two do differ: the test would see a decoder that reads beyond its window.
    assert (found - expected).abs().max() > 1e-2 * compared.std()


def test_reach_is_what_the_decoder_really_reads(make_network, network_name):
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
    assert first == cut - REACH[network_name]


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet", "UNETR", "UNETRPatch8"])
def test_instance_norm_sees_the_window_only(make_network, name):
    backbone = adapt(make_network(name, size=(96, 32, 32)).eval())
    image = torch.randn(1, 1, 96, 32, 32, generator=torch.Generator().manual_seed(1)).cumsum(2)
    with torch.no_grad():
        encoded = backbone.encode(image)
        window = (slice(0, 80), slice(0, 32), slice(0, 32))
        found, expected = backbone.decode(encoded, window), backbone.decode(encoded)[:, :, :80]
    inner = (FULL, FULL, slice(0, 80 - REACH[name]))
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
