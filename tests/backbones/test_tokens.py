"""Replacing tokens between projection and positions, and positions that are not learned."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.nets import UNETR, SwinUNETR

from custom_components.backbones import UNETRPatch8, adapt, fix_sincos_positions

SIZE = (64, 32, 96)
TOKENS = ["UNETR", "UNETRPatch8", "SwinUNETR"]
POSITIONED = TOKENS[:2]
SIDES = {"UNETR": 16, "UNETRPatch8": 8, "SwinUNETR": 2}


@pytest.fixture(params=TOKENS)
def name(request):
    return request.param


def noise(channels=1, batch=2, size=SIZE, seed=1):
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(seed))


def halves(backbone, batch=2):
    """Half of all cells, in each sample others: bool ``(B, 1, d, h, w)``."""
    grid = [side // backbone.strides[0] for side in SIZE]
    return torch.rand(batch, 1, *grid, generator=torch.Generator().manual_seed(2)) < 0.5


def token_of(backbone):
    return torch.randn(1, backbone.token_channels, 1, 1, 1, generator=torch.Generator().manual_seed(3))


def test_token_networks_say_so_and_know_their_token(make_network, network_name):
    backbone = adapt(make_network(network_name))
    assert backbone.takes_tokens == (network_name in TOKENS)
    if backbone.takes_tokens:
        assert backbone.strides[0] == SIDES[network_name]
        assert backbone.token_channels == (12 if network_name == "SwinUNETR" else 24)


def test_replacing_nothing_changes_no_bit(make_network, name):
    for channels in (1, 4):
        backbone = adapt(make_network(name, channels, size=SIZE).eval())
        with torch.no_grad():
            plain, found = (
                backbone.encode(noise(channels), replace=replace) for replace in (None, lambda cells: cells)
            )
        assert torch.equal(plain.bottleneck, found.bottleneck)
        assert all(torch.equal(plain.stages[stage], found.stages[stage]) for stage in backbone.stages)


def test_what_is_replaced_are_the_projected_patches_each_in_its_cell(make_network, name):
    network = make_network(name, 2, size=SIZE).eval()
    backbone, image, seen = adapt(network), noise(2), []

    def watch(cells):
        seen.append(cells.detach())
        return cells

    with torch.no_grad():
        backbone.encode(image, replace=watch)
        weight, bias = (
            network.get_parameter(backbone.input_convs[0].removesuffix("weight") + part)
            for part in ("weight", "bias")
        )
        side = backbone.strides[0]
        for i, j, k in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 1, 5)):
            cube = (slice(n * side, (n + 1) * side) for n in (i, j, k))
            patch = image[(slice(None), slice(None), *cube)]
            expected = torch.einsum("bcxyz,fcxyz->bf", patch, weight) + bias
            torch.testing.assert_close(seen[0][:, :, i, j, k], expected)
    assert seen[0].shape == (2, backbone.token_channels, *(length // side for length in SIZE))


def test_other_tokens_stay_bit_for_bit_and_replaced_ones_know_nothing_of_the_image(make_network, name):
    backbone = adapt(make_network(name, size=SIZE).eval())
    hidden, token, image = halves(backbone), token_of(backbone), noise()

    def replace(cells):
        return torch.where(hidden, token, cells)

    side = backbone.strides[0]
    voxels = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3).repeat_interleave(side, 4)
    first = backbone.stages[0]
    with torch.no_grad():
        plain = backbone.encode(image)
        found = backbone.encode(image, replace=replace)
        other = backbone.encode(torch.where(voxels, noise(seed=9), image), replace=replace)
    seen = ~hidden.expand_as(plain.stages[first])
    assert torch.equal(found.stages[first][seen], plain.stages[first][seen])
    assert (found.stages[first] != plain.stages[first])[~seen].float().mean() > 0.99
    assert all(torch.equal(found.stages[stage], other.stages[stage]) for stage in backbone.stages)
    assert torch.equal(found.bottleneck, other.bottleneck)
    assert not torch.equal(found.bottleneck, plain.bottleneck)


@pytest.mark.parametrize("name", POSITIONED)
def test_positions_are_added_to_what_was_replaced(make_network, name):
    network = make_network(name, size=SIZE).eval()
    backbone = adapt(network)
    hidden, token = halves(backbone), token_of(backbone)
    with torch.no_grad():
        first = backbone.encode(noise(), replace=lambda cells: torch.where(hidden, token, cells)).stages[
            backbone.stages[0]
        ]
        positions = network.vit.patch_embedding.position_embeddings[0]
    places = hidden.flatten(1).nonzero()
    assert len(places) > 10
    for sample, place in places.tolist():
        assert torch.equal(first.flatten(2)[sample, :, place], token.flatten() + positions[place])


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: UNETR(1, 1, SIZE, 4, 24, 24, 2, dropout_rate=0.5), id="UNETR"),
        pytest.param(lambda: UNETRPatch8(1, 1, SIZE, 4, 24, 24, 2, dropout_rate=0.5), id="UNETRPatch8"),
        pytest.param(
            lambda: SwinUNETR(1, 1, feature_size=12, depths=(1, 1, 1, 1), drop_rate=0.5, patch_norm=True),
            id="SwinUNETR",
        ),
    ],
)
def test_dropout_acts_on_what_was_replaced(network):
    backbone = adapt(network().train())
    with torch.no_grad():
        first = backbone.encode(noise(), replace=torch.ones_like).stages[backbone.stages[0]]
    assert 0.4 < (first == 0).float().mean() < 0.6


def test_a_learned_token_and_its_positions_get_gradient(make_network, name):
    network = make_network(name, size=SIZE)
    backbone = adapt(network)
    hidden, token = halves(backbone), token_of(backbone).requires_grad_()
    encoded = backbone.encode(noise(), replace=lambda cells: torch.where(hidden, token, cells))
    encoded.bottleneck.square().sum().backward()
    assert token.grad.abs().min() > 0
    for key in (*backbone.position_keys, backbone.input_convs[0]):
        assert network.get_parameter(key).grad.abs().max() > 0


def test_replaced_tokens_are_dropped_as_others_are(make_network, name):
    backbone = adapt(make_network(name, size=SIZE).eval())
    first, second = backbone.stages[:2]

    def turn(cells):
        return cells.roll(1, 2)

    with torch.no_grad():
        plain = backbone.encode(noise(), replace=turn)
        halved = backbone.encode(noise(), lambda stage, x: x / 2 if stage == first else x, turn)
    assert torch.equal(halved.stages[first], plain.stages[first])
    assert not torch.equal(halved.stages[second], plain.stages[second])


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet"])
def test_networks_without_tokens_refuse_to_replace_any(make_network, name):
    with pytest.raises(ValueError, match=f"{name} has no tokens to replace; allowed: a transformer"):
        adapt(make_network(name)).encode(noise(), replace=lambda cells: cells)


def test_replacing_with_another_shape_raises_and_names_both(make_network, name):
    backbone = adapt(make_network(name, size=SIZE))
    message = r"replace returned \(1, .*\) for tokens of shape \(2, .*\); allowed: the same shape"
    with pytest.raises(ValueError, match=message):
        backbone.encode(noise(), replace=lambda cells: cells[:1])


@pytest.mark.parametrize("name", POSITIONED)
def test_sincos_positions_are_those_of_a_slow_loop_in_the_grids_own_order(make_network, name):
    network = make_network(name, size=SIZE)
    backbone = adapt(network)
    keys = list(network.state_dict())
    parameter = network.vit.patch_embedding.position_embeddings
    fix_sincos_positions(backbone)
    assert network.vit.patch_embedding.position_embeddings is parameter  # what an optimizer may hold already
    assert list(network.state_dict()) == keys
    assert not parameter.requires_grad
    side, rates = SIDES[name], [10000 ** (-n / 4) for n in range(4)]  # 24 features: 4 waves, 2 phases, 3 axes
    place = 0
    for i in range(SIZE[0] // side):
        for j in range(SIZE[1] // side):
            for k in range(SIZE[2] // side):
                expected = [wave(at * rate) for at in (j, i, k) for wave in (math.sin, math.cos) for rate in rates]
                torch.testing.assert_close(parameter[0, place], torch.tensor(expected))
                place += 1
    assert place == parameter.shape[1]


@pytest.mark.parametrize("name", POSITIONED)
def test_sincos_positions_get_no_gradient_and_all_else_does(make_network, name):
    network = make_network(name)
    backbone = adapt(network)
    fix_sincos_positions(backbone)
    backbone.encode(noise(size=(64, 32, 32))).bottleneck.square().sum().backward()
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert reached == set(backbone.encoder_keys()) - set(backbone.position_keys)


@pytest.mark.parametrize("name", ["BasicUNet", "SegResNet", "SwinUNETR"])
def test_networks_without_position_embeddings_refuse_sincos(make_network, name):
    with pytest.raises(ValueError, match=f"{name} has no position embeddings; positions 'sincos' need UNETR"):
        fix_sincos_positions(adapt(make_network(name)))


@pytest.mark.parametrize("network", [UNETR, UNETRPatch8])
def test_features_that_six_does_not_divide_refuse_sincos_and_stay(network):
    network = network(1, 1, 32, feature_size=2, hidden_size=20, mlp_dim=12, num_heads=2)
    before = network.vit.patch_embedding.position_embeddings.clone()
    with pytest.raises(ValueError, match="has hidden_size 20; positions 'sincos' need a multiple of 6"):
        fix_sincos_positions(adapt(network))
    assert torch.equal(network.vit.patch_embedding.position_embeddings, before)
    assert network.vit.patch_embedding.position_embeddings.requires_grad
