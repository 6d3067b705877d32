"""HybridMIM: what it builds, what it refuses, which parameters each term reaches."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet

from custom_components.backbones import adapt
from custom_components.losses import CombinedLoss
from custom_components.pretext import HybridMIM
from custom_components.pretext.hybridmim import TERMS

SHAPE = (64, 32, 32)
HEADS = {
    "reconstruction": (),
    "count": ("count_head.",),
    "position": ("position_head.",),
    "consistency": ("count_head.", "position_head."),
    "contrast": ("contrast_head.",),
}


def half_masked(batch, patch=16, shape=SHAPE, seed=0):
    """The same number of masked patches in every sample."""
    grid = [side // patch for side in shape]
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(grid[0] * grid[1] * grid[2], generator=generator) for _ in range(batch)])
    return (order < order.shape[1] // 2).reshape(batch, 1, *grid)


def build(make_network, name="BasicUNet", channels=1, shape=SHAPE, **kwargs):
    kwargs = {"patch_size": 16, "region_size": 32, "contrast_features": 8, **kwargs}
    return HybridMIM(make_network(name, channels, size=shape), **kwargs)


def reached(pretext):
    return {name for name, parameter in pretext.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("term", TERMS)
def test_each_term_reaches_exactly_the_encoder_and_its_own_heads(make_network, network_name, term):
    """With all heads built, so that a gradient into another term's head would be seen."""
    pretext = build(make_network, network_name).train()
    image = torch.randn(2, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    outputs = pretext(image, half_masked(2))
    CombinedLoss({term: 1.0})(outputs, torch.tensor([3, 8]))["loss"].backward()
    parameters = dict(pretext.named_parameters())
    backbone = pretext.backbone
    names = (
        backbone.encoder_keys()
        if HEADS[term]
        else set(backbone.net.state_dict()) - set(backbone.unused_parameters)
    )
    wanted = {f"network.{name}" for name in names}
    assert reached(pretext) == {n for n in parameters if n in wanted or n.startswith(HEADS[term])}
    # A gradient that is there but zero trains nothing: every convolution's and linear layer's weight moves.
    # (A bias ahead of a norm over space has none, in exact arithmetic.)
    weights = [name for name in reached(pretext) if parameters[name].ndim >= 2]
    assert len(weights) > 3
    assert not [name for name in weights if parameters[name].grad.abs().max() == 0]
    output = [name for name in weights if name.startswith(f"network.{backbone.output_layer}.")]
    assert len(output) == (1 if term == "reconstruction" else 0)


@pytest.mark.parametrize("term", TERMS)
def test_heads_that_are_off_are_not_built_and_every_trainable_parameter_is_reached(
    make_network, network_name, term
):
    pretext = build(make_network, network_name, terms=(term,)).train()
    heads = {name.split(".")[0] for name, _ in pretext.named_parameters()} - {"network"}
    assert heads == {head.rstrip(".") for head in HEADS[term]}
    outputs = pretext(torch.randn(2, 1, *SHAPE), half_masked(2))
    CombinedLoss({term: 1.0})(outputs, torch.tensor([0, 1]))["loss"].backward()
    # What DistributedDataParallel asks without find_unused_parameters.
    assert reached(pretext) == {name for name, parameter in pretext.named_parameters() if parameter.requires_grad}


def test_without_reconstruction_the_decoder_is_frozen_and_still_saved(make_network, network_name):
    network = make_network(network_name)
    keys = list(network.state_dict())
    pretext = HybridMIM(network, terms=("position",))
    backbone = pretext.backbone
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (name in backbone.encoder_keys())
    assert any(not parameter.requires_grad for parameter in network.parameters())
    assert list(pretext.network.state_dict()) == keys
    assert {f"network.{key}" for key in keys} <= set(pretext.state_dict())


def test_the_network_is_held_itself_with_its_keys_unchanged(make_network, network_name):
    network = make_network(network_name)
    keys = list(network.state_dict())
    pretext = HybridMIM(network)
    assert pretext.network is network
    assert pretext.backbone.net is network
    assert list(network.state_dict()) == keys
    others = {key.split(".")[0] for key in pretext.state_dict()} - {"network"}
    assert others == {"count_head", "position_head", "contrast_head"}


@pytest.mark.parametrize(("channels", "batch"), [(1, 2), (4, 1)])
def test_outputs_have_the_documented_shapes(make_network, network_name, channels, batch):
    pretext = build(make_network, network_name, channels).train()
    outputs = pretext(torch.randn(batch, channels, *SHAPE), half_masked(batch))
    voxels, regions, patches = (channels, *SHAPE), 2, 8
    assert {name: tuple(value.shape[1:]) for name, value in outputs.items()} == {
        "reconstruction": voxels,
        "reconstruction_target": voxels,
        "reconstruction_mask": (1, *SHAPE),
        "visible_mask": (1, *SHAPE),
        "count_logits": (regions, patches + 1),
        "count_target": (regions,),
        "position_logits": (regions, patches),
        "position_target": (regions, patches),
        "patch_valid": (regions, patches),
        "region_valid": (regions,),
        "view_1": (8,),
        "view_2": (8,),
    }
    assert all(value.shape[0] == batch for value in outputs.values())


def test_evaluation_is_deterministic_decodes_everything_and_has_no_views(make_network, network_name):
    size = 64 if network_name == "SwinUNETR" else 32
    shape = (64, 64, 32) if network_name != "SwinUNETR" else (128, 64, 64)
    pretext = build(make_network, network_name, shape=shape, window_size=size).eval()
    image, mask = torch.randn(1, 1, *shape), half_masked(1, shape=shape)
    with torch.no_grad():
        one, two = pretext(image, mask), pretext(image, mask)
    assert "view_1" not in one
    assert "view_2" not in one
    assert one["reconstruction"].shape == image.shape
    assert torch.equal(one["reconstruction_target"], image)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_reconstruction_is_linear_unless_a_sigmoid_is_asked_for(make_network):
    image, mask = 5 * torch.randn(1, 1, *SHAPE), half_masked(1)
    linear, squashed = build(make_network), build(make_network, output_activation="sigmoid")
    with torch.no_grad():
        one, two = (pretext.eval()(image, mask)["reconstruction"] for pretext in (linear, squashed))
    assert one.min() < 0
    torch.testing.assert_close(two, one.sigmoid())


def test_fill_decides_what_the_encoder_sees(make_network, monkeypatch):
    image, mask = 3 + torch.randn(1, 1, *SHAPE), half_masked(1)
    masked = mask.repeat_interleave(16, 2).repeat_interleave(16, 3).repeat_interleave(16, 4)
    seen = {}
    for fill in ("zero", "mean", "noise", "learned"):
        pretext = build(make_network, fill=fill, terms=("reconstruction",)).eval()
        pretext.backbone.encode = lambda x, drop, fill=fill, real=pretext.backbone.encode: (
            seen.update({fill: x.detach()}) or real(x, drop)
        )
        pretext(image, mask)
        assert torch.equal(seen[fill][~masked], image[~masked])
    assert (seen["zero"][masked] == 0).all()
    assert (seen["learned"][masked] == 0).all()  # the token begins at zero
    torch.testing.assert_close(seen["mean"][masked], image[~masked].mean().expand(int(masked.sum())))
    assert seen["noise"][masked].std() > 0.5


def test_learned_token_gets_gradient_and_is_saved_with_the_heads_only(make_network, network_name):
    pretext = build(make_network, network_name, channels=4, fill="learned").train()
    assert pretext.token.shape == (1, 4, 16, 16, 16)
    outputs = pretext(torch.randn(2, 4, *SHAPE), half_masked(2))
    CombinedLoss({"reconstruction": 1.0})(outputs)["loss"].backward()
    assert (pretext.token.grad != 0).float().mean() > 0.9
    assert "token" in pretext.state_dict()
    assert "token" not in pretext.network.state_dict()
    assert not hasattr(build(make_network, fill="mean"), "token")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 12}, r"region.*32.*patch.*12"),
        ({"patch_size": 4, "region_size": 24}, r"region_size \(24, 24, 24\) does not fit BasicUNet: .* 16"),
        ({"patch_size": (16, 16, 8), "region_size": (32, 32, 8)}, r"region_size \(32, 32, 8\) does not fit"),
        ({"terms": ("reconstruction", "rotation")}, r"rotation.*choose at least one of"),
        ({"terms": ()}, r"choose at least one of \['reconstruction'"),
        ({"fill": "black"}, r"fill is 'black'; allowed: zero, mean, noise, learned"),
        ({"output_activation": "tanh"}, r"output_activation is 'tanh'"),
        ({"window_size": 48}, r"window_size \(48, 48, 48\) must be a positive multiple of region_size"),
        ({"window_size": 0}, "window_size is 0; allowed: one or three whole numbers from 1"),
        ({"second_view_grad": "false"}, "second_view_grad is 'false'; .* --second_view_grad False"),
        ({"dropout": 1.0}, "dropout is 1.0; allowed: a number at least 0 and below 1"),
        ({"dropout": -0.1}, r"dropout is -0.1"),
        ({"dropout": 0.0}, r"contrast term needs dropout > 0"),
        ({"dropout_stages": ()}, r"contrast term needs dropout > 0 in at least one stage"),
        ({"dropout_stages": ("down_5",)}, r"\['down_5'\] are not stages of BasicUNet; allowed: \['conv_0'"),
    ],
)
def test_the_constructor_says_what_is_wrong_and_what_is_allowed(make_network, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(make_network, **arguments)


def test_unequal_channels_raise_and_name_both(make_network):
    with pytest.raises(ValueError, match="in_channels 1 and out_channels 14"):
        HybridMIM(make_network("BasicUNet", 1, 14))


def test_a_window_of_a_single_swin_cell_raises(make_network):
    with pytest.raises(ValueError, match="holds 1 bottleneck cell of SwinUNETR; its decoder needs at least 2"):
        build(make_network, "SwinUNETR", window_size=32)


def test_a_network_without_adapter_raises():
    with pytest.raises(ValueError, match="no backbone adapter for Conv3d"):
        HybridMIM(torch.nn.Conv3d(1, 1, 3))


def test_a_crop_smaller_than_the_window_raises_in_training(make_network):
    pretext = build(make_network, window_size=64).train()
    with pytest.raises(ValueError, match=r"window_size \(64, 64, 64\) is larger than the crop \(64, 32, 32\)"):
        pretext(torch.randn(2, 1, *SHAPE), half_masked(2))


def test_no_dropout_is_needed_without_contrast():
    network = BasicUNet(3, 1, 1, features=(4, 4, 4, 4, 4, 4))
    pretext = HybridMIM(network, terms=("reconstruction",), dropout=0.0).train()
    image, mask = torch.randn(1, 1, 32, 32, 32), half_masked(1, shape=(32, 32, 32))
    with torch.no_grad():
        one, two = pretext(image, mask), pretext(image, mask)
    assert torch.equal(one["reconstruction"], two["reconstruction"])
    assert torch.equal(adapt(network).net.final_conv.weight, network.final_conv.weight)
