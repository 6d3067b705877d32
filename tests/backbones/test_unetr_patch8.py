"""The UNETR of smaller patches: its own forward, its exact keys, and how they differ from UNETR's."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from custom_components.backbones import UNETRBackbone, UNETRPatch8, adapt

SIZE = (32, 16, 24)
ARGUMENTS = {"feature_size": 6, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


@pytest.fixture
def network(make_network):
    return make_network("UNETRPatch8", size=SIZE).eval()


def noise(size=SIZE):
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(1))


def grouped(prefix, *names):
    return {f"{prefix}.{name}" for name in names}


BLOCK_NAMES = [
    *("norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.out_proj.weight", "attn.out_proj.bias"),
    *("norm2.weight", "norm2.bias", "mlp.linear1.weight", "mlp.linear1.bias", "mlp.linear2.weight"),
    *("mlp.linear2.bias", "norm_cross_attn.weight", "norm_cross_attn.bias"),
]
RESIDUAL = ("conv1.conv.weight", "conv2.conv.weight", "conv3.conv.weight")
UP = ("transp_conv.conv.weight", *(f"conv_block.{name}" for name in RESIDUAL))
# Instance norms have no parameters.
KEYS = set().union(
    grouped("vit.patch_embedding.patch_embeddings", "weight", "bias"),
    {"vit.patch_embedding.position_embeddings"},
    *(grouped(f"vit.blocks.{number}", *BLOCK_NAMES) for number in range(12)),
    grouped("vit.norm", "weight", "bias"),
    grouped("encoder1.layer", *RESIDUAL),
    grouped("encoder2", "transp_conv_init.conv.weight", "blocks.0.0.conv.weight"),
    grouped("encoder2.blocks.0.1", *RESIDUAL[:2]),
    grouped("encoder3", "transp_conv_init.conv.weight"),
    *(grouped(f"decoder{number}", *UP) for number in (4, 3, 2)),
    grouped("out.conv.conv", "weight", "bias"),
)


def test_its_keys_are_these_and_no_others(network):
    assert set(network.state_dict()) == KEYS


def test_of_unetrs_keys_it_lacks_one_step_of_the_decoder_and_one_of_each_skip(network):
    wide = UNETR(1, 1, (64, 32, 48), **ARGUMENTS).state_dict()
    own = network.state_dict()
    assert set(wide) - set(own) == set().union(
        grouped("decoder5", *UP),
        {"encoder4.transp_conv_init.conv.weight"},
        *(
            grouped(name, "0.conv.weight", "1.conv1.conv.weight", "1.conv2.conv.weight")
            for name in ("encoder2.blocks.1", "encoder3.blocks.0")
        ),
    )
    assert set(own) <= set(wide)
    # As many tokens here, so that positions agree in shape: the projection tells the two apart all the same.
    differing = {key for key, value in own.items() if value.shape != wide[key].shape}
    assert differing == {"vit.patch_embedding.patch_embeddings.weight", "decoder4.transp_conv.conv.weight"}


@pytest.mark.parametrize("channels", [(1, 1), (4, 1), (1, 4)])
def test_no_channel_number_makes_the_projections_of_both_fit(channels):
    one, other = UNETR(channels[0], 1, 32, **ARGUMENTS), UNETRPatch8(channels[1], 1, 16, **ARGUMENTS)
    shapes = [net.vit.patch_embedding.patch_embeddings.weight.shape[2:] for net in (one, other)]
    assert shapes[0] != shapes[1]


def test_forward_is_the_vit_and_the_decoder_written_out(network):
    image = noise()

    def cells(tokens):
        """Lay each token in its cell, one by one."""
        laid = torch.empty(2, 24, 4, 2, 3)
        for number, (i, j, k) in enumerate((i, j, k) for i in range(4) for j in range(2) for k in range(3)):
            laid[:, :, i, j, k] = tokens[:, number]
        return laid

    with torch.no_grad():
        last, hidden = network.vit(image)
        quarter = network.encoder3(cells(hidden[6]))
        half = network.encoder2(cells(hidden[3]))
        full = network.encoder1(image)
        assert quarter.shape == (2, 24, 8, 4, 6)
        assert half.shape == (2, 12, 16, 8, 12)
        assert full.shape == (2, 6, 32, 16, 24)
        x = network.decoder4(cells(last), quarter)
        x = network.decoder3(x, half)
        x = network.decoder2(x, full)
        assert torch.equal(network.out(x), network(image))


def test_a_network_with_other_arguments_passes_them_on():
    network = UNETRPatch8(2, 3, 16, 4, 12, 36, 3, "batch", conv_block=False, res_block=False, qkv_bias=True)
    state = network.state_dict()
    assert state["vit.blocks.5.attn.qkv.bias"].shape == (36,)
    assert state["vit.blocks.5.mlp.linear1.weight"].shape == (36, 12)
    assert network.vit.blocks[0].attn.num_heads == 3
    assert "encoder1.layer.norm1.running_mean" in state
    assert not [key for key in state if ".conv3." in key or key.startswith("encoder2.blocks.0.1.")]
    assert network(torch.randn(2, 2, 16, 16, 16)).shape == (2, 3, 16, 16, 16)
    dropping = UNETRPatch8(1, 1, 16, 4, 12, 12, 2, dropout_rate=0.5)
    image = torch.randn(1, 1, 16, 16, 16)
    assert not torch.equal(dropping(image), dropping(image))


@pytest.mark.parametrize("size", [(32, 16, 20), (4, 16, 16), 12])
def test_a_crop_that_patches_do_not_tile_raises(size):
    with pytest.raises(ValueError, match=r"img_size is \(.*\); each side must be a positive multiple of 8"):
        UNETRPatch8(1, 1, size, **ARGUMENTS)


@pytest.mark.parametrize("wrong", [{"num_heads": 5}, {"dropout_rate": 1.5}, {"img_size": (16, 16)}])
def test_other_numbers_that_do_not_fit_raise(wrong):
    with pytest.raises(ValueError):
        UNETRPatch8(**{"in_channels": 1, "out_channels": 1, "img_size": 16, **ARGUMENTS, **wrong})


def test_torchscript_gives_the_same(network):
    with torch.no_grad():
        assert torch.equal(torch.jit.script(network)(noise()), network(noise()))


def test_stages_are_unetrs_with_a_stride_of_eight(network):
    backbone = adapt(network)
    assert isinstance(backbone, UNETRBackbone)
    assert backbone.stages == adapt(UNETR(1, 1, 16, **ARGUMENTS)).stages
    assert (backbone.strides, backbone.stride, backbone.crop_size) == ((8,) * 5, 8, SIZE)
    with torch.no_grad():
        encoded = backbone.encode(noise())
        last, hidden = network.vit(noise())
        tokens = [network.vit.patch_embedding(noise()), hidden[3], hidden[6], hidden[9], hidden[11], last]
    for found, expected in zip([*encoded.stages.values(), encoded.bottleneck], tokens, strict=True):
        assert torch.equal(found, network.cells(expected))


def test_a_crop_of_another_size_raises_and_names_the_allowed_one(network):
    backbone = adapt(network)
    for size in ((16, 32, 24), (64, 32, 48)):
        message = rf"\({size[0]}, {size[1]}, {size[2]}\) does not fit UNETRPatch8: .* crops of \(32, 16, 24\) only"
        with pytest.raises(ValueError, match="roi_size " + message):
            backbone.check_crop("roi_size", size)
        with pytest.raises(ValueError, match="image " + message):
            backbone.encode(noise(size))


def test_the_position_keys_are_all_that_depends_on_the_crop(network, make_network):
    others = make_network("UNETRPatch8", size=(16, 16, 16)).state_dict()
    differing = {key for key, value in network.state_dict().items() if value.shape != others[key].shape}
    assert differing == set(adapt(network).position_keys)


def test_idle_parameters_are_those_that_a_whole_pass_never_reads(network):
    backbone = adapt(network)
    network.train()(noise()).square().sum().backward()
    unread = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert unread == set(backbone.unused_parameters)
    assert len(unread) == 24  # weight and bias in twelve blocks


def test_a_window_of_one_cell_is_decoded_with_spread_in_every_norm(network):
    backbone = adapt(network.train())
    assert backbone.min_cells == 1
    window = (slice(16, 24), slice(0, 8), slice(8, 16))
    output = backbone.decode(backbone.encode(noise()[:1]), window)
    assert output.shape == (1, 1, 8, 8, 8)
    assert output.std() > 0
