"""Encoding and decoding is the network; a second view is a second pass."""

from __future__ import annotations

from itertools import combinations
from zlib import crc32

import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, SegResNet, SwinUNETR
from torch import Tensor

from custom_components.backbones import UNETRPatch8, adapt


class HashedDropout:
    """Dropout of the named stages that depends on (seed, stage) alone."""

    def __init__(self, stages, seed, rate=0.3):
        self.stages, self.seed, self.rate = stages, seed, rate

    def __call__(self, stage: str, x: Tensor) -> Tensor:
        if stage not in self.stages:
            return x
        generator = torch.Generator().manual_seed(crc32(f"{self.seed} {stage}".encode()))
        return x * (torch.rand(x.shape, generator=generator) >= self.rate) / (1 - self.rate)


def swin_unetr(**kwargs):
    return SwinUNETR(1, 2, feature_size=12, depths=(1, 1, 1, 1), window_size=4, **kwargs)


def unetr(**kwargs):
    kwargs = {"feature_size": 4, "hidden_size": 12, "mlp_dim": 12, "num_heads": 2, **kwargs}
    return UNETR(1, 2, (64, 32, 32), **kwargs)


@pytest.mark.parametrize(
    ("training", "channels", "batch", "spatial"), [(False, 1, 1, (64, 32, 32)), (True, 4, 2, (32, 32, 64))]
)
def test_decode_of_encode_is_forward_bit_for_bit(make_network, network_name, channels, batch, spatial, training):
    network = make_network(network_name, channels, 3, size=spatial).train(training)
    image = torch.randn(batch, channels, *spatial, generator=torch.Generator().manual_seed(1))
    backbone = adapt(network)
    with torch.no_grad():
        assert torch.equal(backbone.decode(backbone.encode(image)), network(image))


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(
            lambda: BasicUNet(3, 1, 2, features=(4, 4, 4, 4, 4, 4), upsample="nontrainable"), id="upsample"
        ),
        pytest.param(lambda: SegResNet(3, 8, 1, 2, blocks_down=(1, 2, 2), blocks_up=(1, 1)), id="three levels"),
        pytest.param(lambda: SegResNet(3, 8, 1, 2, dropout_prob=0.2), id="dropout of its own"),
        pytest.param(lambda: swin_unetr(use_v2=True), id="v2"),
        pytest.param(lambda: swin_unetr(normalize=False), id="no norm"),
        pytest.param(lambda: swin_unetr(drop_rate=0.1, dropout_path_rate=0.1), id="drop path"),
        pytest.param(lambda: swin_unetr(downsample="mergingv2", patch_norm=True), id="merging v2"),
        pytest.param(lambda: unetr(qkv_bias=True, save_attn=True, norm_name="batch"), id="batch norm"),
        pytest.param(lambda: unetr(conv_block=False, dropout_rate=0.1), id="dropout in the blocks"),
        pytest.param(lambda: unetr(res_block=False), id="no residuals"),
        pytest.param(lambda: unetr(feature_size=1), id="as many features as channels"),
        pytest.param(
            lambda: UNETRPatch8(1, 2, (64, 32, 32), 1, 12, 12, 2, "batch", False, dropout_rate=0.1, qkv_bias=True),
            id="patch 8, dropout in the blocks",
        ),
        pytest.param(
            lambda: UNETRPatch8(1, 2, (64, 32, 32), 4, 12, 12, 2, res_block=False), id="patch 8, no residuals"
        ),
    ],
)
def test_identity_holds_for_other_arguments(network):
    torch.manual_seed(0)
    network = network().train()
    backbone, image = adapt(network), torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        torch.manual_seed(3)
        expected = network(image)
        torch.manual_seed(3)
        assert torch.equal(backbone.decode(backbone.encode(image)), expected)


@pytest.mark.parametrize("spatial", [(48, 32, 16), (50, 38, 34)])
def test_a_decoder_that_pads_only_odd_sides_has_monais_values_and_gradients(spatial):
    torch.manual_seed(0)
    network = BasicUNet(3, 1, 2, features=(4, 4, 8, 8, 8, 4))
    backbone, image = adapt(network), torch.randn(2, 1, *spatial)
    found = []
    for forward in (network, lambda x: backbone.decode(backbone.encode(x))):
        output = forward(image)
        gradients = torch.autograd.grad(output.square().mean(), list(network.parameters()))
        found.append([output, *gradients])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


# UNETR's stages are named after the last of their blocks.
MODULES = {
    "vit.blocks.3": [f"vit.blocks.{i}" for i in (0, 1, 2, 3)],
    "vit.blocks.6": [f"vit.blocks.{i}" for i in (4, 5, 6)],
    "vit.blocks.9": [f"vit.blocks.{i}" for i in (7, 8, 9)],
    "vit.blocks.11": [f"vit.blocks.{i}" for i in (10, 11)],
}


def test_second_view_is_a_second_pass_whichever_stages_are_dropped(make_network, network_name):
    backbone = adapt(make_network(network_name).eval())
    image = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for stages in (*combinations(backbone.stages, 1), *combinations(backbone.stages, 2), backbone.stages):
            first = backbone.encode(image, HashedDropout(stages, seed=1))
            again = HashedDropout(stages, seed=2)
            view = backbone.encode_second_view(first, again, stages[0])
            assert torch.equal(view, backbone.encode(image, again).bottleneck), stages
            assert not torch.equal(view, first.bottleneck), stages


def test_skips_are_taken_before_dropout(make_network, network_name):
    backbone = adapt(make_network(network_name).eval())
    image = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        plain = backbone.encode(image)
        last = backbone.stages[-1]
        dropped = backbone.encode(image, HashedDropout((last,), seed=1))
    assert all(torch.equal(plain.stages[name], dropped.stages[name]) for name in backbone.stages)
    assert not torch.equal(plain.bottleneck, dropped.bottleneck)


def test_second_view_runs_no_stage_before_the_first_dropped_one_and_no_decoder(make_network, network_name):
    network = make_network(network_name)
    backbone = adapt(network)
    image = torch.randn(1, 1, 64, 32, 32)
    for place, first in enumerate(backbone.stages):
        encoded = backbone.encode(image, HashedDropout((first,), seed=1))
        ran: list[str] = []
        hooks = [
            module.register_forward_hook(lambda module, args, out, name=name, ran=ran: ran.append(name))
            for name, module in network.named_modules()
            if name and not list(module.children())
        ]
        backbone.encode_second_view(encoded, HashedDropout((first,), seed=2), first)
        for hook in hooks:
            hook.remove()
        assert not [name for name in ran if not name.startswith(backbone.encoder_prefixes)]
        prefix = "swinViT." if network_name == "SwinUNETR" else ""
        earlier = [
            f"{prefix}{name}." for stage in backbone.stages[: place + 1] for name in MODULES.get(stage, [stage])
        ]
        assert not [name for name in ran if name.startswith(tuple(earlier))]
