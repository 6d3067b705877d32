"""Encoding some tokens alone: as a whole pass where they are all there, as a slow loop where they are not."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNETR

from custom_components.backbones import UNETRPatch8, adapt

SIZES = {"UNETR": (64, 32, 48), "UNETRPatch8": (32, 16, 24)}
GRID = (4, 2, 3)
NUMBER = 24


@pytest.fixture(params=list(SIZES))
def name(request):
    return request.param


@pytest.fixture
def network(make_network, name):
    network = make_network(name, 2, size=SIZES[name]).eval()
    with torch.no_grad():
        # As a trained norm, which is not the identity on what it has normalised.
        for parameter in network.vit.norm.parameters():
            parameter.copy_(torch.randn_like(parameter))
        network.vit.patch_embedding.position_embeddings.mul_(20)
    return network


def noise(name, batch=2, channels=2):
    return torch.randn(batch, channels, *SIZES[name], generator=torch.Generator().manual_seed(1))


def everything(batch=2):
    return torch.arange(NUMBER).expand(batch, -1)


def tokens(bottleneck):
    return bottleneck.flatten(2).transpose(1, 2)


def encode_one_by_one(network, image, places):
    """One sample ``(C, D, H, W)``: embed token by token, then run the blocks on those alone."""
    side = image.shape[1] // GRID[0]
    embedding, embedded = network.vit.patch_embedding, []
    for place in places:
        i, j, k = place // (GRID[1] * GRID[2]), place // GRID[2] % GRID[1], place % GRID[2]
        cube = image[:, i * side : (i + 1) * side, j * side : (j + 1) * side, k * side : (k + 1) * side]
        embedded.append(embedding.patch_embeddings(cube[None]).flatten() + embedding.position_embeddings[0, place])
    x = torch.stack(embedded)[None]
    for block in network.vit.blocks:
        x = block(x)
    return network.vit.norm(x)[0]


def test_all_tokens_are_the_bottleneck_of_a_whole_pass(network, name):
    backbone, image = adapt(network), noise(name)
    with torch.no_grad():
        found = backbone.encode_visible(image, everything())
        expected = tokens(backbone.encode(image).bottleneck)
    assert found.shape == (2, NUMBER, 24)
    torch.testing.assert_close(found, expected)


def test_all_tokens_in_another_order_are_the_same_tokens_in_that_order(network, name):
    order = torch.stack([torch.randperm(NUMBER, generator=torch.Generator().manual_seed(n)) for n in (1, 2)])
    backbone, image = adapt(network), noise(name)
    with torch.no_grad():
        found = backbone.encode_visible(image, order)
        expected = tokens(backbone.encode(image).bottleneck)
    for sample in range(2):
        torch.testing.assert_close(found[sample], expected[sample, order[sample]])


@pytest.mark.parametrize("length", [1, 5, 23])
def test_some_tokens_are_what_a_loop_over_them_gives(network, name, length):
    image = noise(name)
    keep = torch.stack(
        [torch.randperm(NUMBER, generator=torch.Generator().manual_seed(n))[:length] for n in (3, 4)]
    )
    with torch.no_grad():
        found = adapt(network).encode_visible(image, keep)
        whole = tokens(adapt(network).encode(image).bottleneck)
        for sample in range(2):
            expected = encode_one_by_one(network, image[sample], keep[sample].tolist())
            torch.testing.assert_close(found[sample], expected)
            # Without the others attention gives something else: the tokens do not see what is hidden.
            assert (found[sample] - whole[sample, keep[sample]]).abs().max() > 1e-2


def test_hidden_voxels_do_not_matter(network, name):
    keep = torch.tensor([[0, 5, 7, 23]])
    image = noise(name, batch=1)
    spoilt = torch.full_like(image, torch.nan)
    side = SIZES[name][0] // GRID[0]
    for place in keep[0].tolist():
        i, j, k = place // 6 * side, place // 3 % 2 * side, place % 3 * side
        cube = (..., slice(i, i + side), slice(j, j + side), slice(k, k + side))
        spoilt[cube] = image[cube]
    with torch.no_grad():
        assert torch.equal(*(adapt(network).encode_visible(x, keep) for x in (image, spoilt)))


def test_a_shorter_sample_gets_what_it_gets_alone_whatever_fills_it_up(network, name):
    backbone, image = adapt(network), noise(name)
    long, short = [2, 3, 11, 17, 20], [1, 8, 22]
    present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.no_grad():
        one = backbone.encode_visible(image, torch.tensor([long, [*short, 0, 2]]), present)
        two = backbone.encode_visible(image, torch.tensor([long, [*short, 9, 9]]), present)
        alone = [backbone.encode_visible(image[n : n + 1], torch.tensor([k])) for n, k in enumerate((long, short))]
        unmasked = backbone.encode_visible(image, torch.tensor([long, [*short, 0, 2]]))
    torch.testing.assert_close(one[0], alone[0][0])
    torch.testing.assert_close(one[1, :3], alone[1][0])
    assert torch.equal(one[present], two[present])
    assert (unmasked[1, :3] - alone[1][0]).abs().max() > 1e-2  # what filled it up would be seen
    assert one.isfinite().all()


def test_all_present_is_as_none_given(network, name):
    keep = torch.tensor([[1, 2, 3], [4, 5, 6]])
    with torch.no_grad():
        found = adapt(network).encode_visible(noise(name), keep, torch.ones_like(keep, dtype=torch.bool))
        torch.testing.assert_close(found, adapt(network).encode_visible(noise(name), keep))


def test_gradient_reaches_the_whole_encoder_and_only_the_positions_that_were_kept(network, name):
    backbone, keep = adapt(network), torch.tensor([[0, 4, 9], [4, 11, 2]])
    weights = torch.randn(2, 3, 24)
    (backbone.encode_visible(noise(name), keep) * weights).sum().backward()
    parameters = dict(network.named_parameters())
    assert {key for key, p in parameters.items() if p.grad is not None} == set(backbone.encoder_keys())
    assert not [key for key in backbone.encoder_keys() if parameters[key].grad.abs().max() == 0]
    rows = parameters[backbone.position_keys[0]].grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert rows == [0, 2, 4, 9, 11]


def test_gradients_of_all_tokens_are_those_of_a_whole_pass(network, name):
    backbone, image, weights = adapt(network), noise(name), torch.randn(2, NUMBER, 24)
    (tokens(backbone.encode(image).bottleneck) * weights).sum().backward()
    expected = {key: network.get_parameter(key).grad.clone() for key in backbone.encoder_keys()}
    network.zero_grad()
    (backbone.encode_visible(image, everything()) * weights).sum().backward()
    for key, gradient in expected.items():
        torch.testing.assert_close(network.get_parameter(key).grad, gradient, rtol=1e-3, atol=1e-3)


def test_what_fills_a_sample_up_gives_the_kept_tokens_no_gradient_of_its_own(network, name):
    backbone, keep = adapt(network), torch.tensor([[0, 4, 9, 13], [4, 11, 2, 7]])
    present = torch.tensor([[True, True, True, False], [True, True, False, False]])
    encoded = backbone.encode_visible(noise(name), keep, present)
    encoded[present].square().sum().backward()
    rows = network.vit.patch_embedding.position_embeddings.grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert rows == [0, 4, 9, 11]


def test_every_layer_sees_only_the_kept_tokens(network, name):
    lengths = []
    for module in network.vit.modules():
        module.register_forward_hook(lambda m, args, out: lengths.append(out.shape[-2]) if out.ndim == 3 else None)
    calls = []
    network.vit.patch_embedding.patch_embeddings.register_forward_hook(lambda *_: calls.append(1))
    adapt(network).encode_visible(noise(name), torch.tensor([[1, 2, 3], [4, 5, 6]]))
    assert set(lengths) == {3}
    assert not calls


@pytest.mark.parametrize("network_class", [UNETR, UNETRPatch8])
def test_the_networks_own_dropout_acts_in_training_alone(network_class):
    network = network_class(1, 1, 32, 4, 24, 24, 2, dropout_rate=0.5)
    backbone, image, keep = adapt(network), torch.randn(1, 1, 32, 32, 32), torch.tensor([[1, 6, 3]])
    with torch.no_grad():
        one, two = (backbone.encode_visible(image, keep) for _ in range(2))
        assert not torch.equal(one, two)
        network.eval()
        one, two = (backbone.encode_visible(image, keep) for _ in range(2))
    assert torch.equal(one, two)


def test_it_runs_in_half_precision(network, name):
    present = torch.tensor([[True, True, True], [True, True, False]])
    keep = torch.tensor([[1, 2, 3], [4, 5, 6]])
    with torch.no_grad():
        expected = adapt(network).encode_visible(noise(name), keep, present)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = adapt(network).encode_visible(noise(name), keep, present)
    assert (found.float() - expected)[present].abs().mean() < 0.05 * expected[present].abs().mean()


@pytest.mark.parametrize(
    ("keep", "present", "message"),
    [
        (torch.zeros(2, 3), None, r"keep is torch.float32 of shape \(2, 3\); a batch of 2 needs torch.int64"),
        (
            torch.zeros(1, 3, dtype=torch.long),
            None,
            r"of shape \(1, 3\); a batch of 2 .* shape \(2, L\), L from 1",
        ),
        (torch.zeros(2, dtype=torch.long), None, r"of shape \(2,\)"),
        (torch.zeros(2, 0, dtype=torch.long), None, r"of shape \(2, 0\)"),
        (torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3), r"present is torch.float32 .* needs torch.bool"),
        (
            torch.zeros(2, 3, dtype=torch.long),
            torch.ones(2, 4, dtype=torch.bool),
            r"present is torch.bool of shape \(2, 4\); this keep needs torch.bool of shape \(2, 3\)",
        ),
    ],
)
def test_choices_of_other_shapes_and_types_raise(network, name, keep, present, message):
    with pytest.raises(ValueError, match=message):
        adapt(network).encode_visible(noise(name), keep, present)


def test_a_crop_of_another_size_raises(network, name):
    image = noise(name).transpose(2, 3)  # as many tokens
    with pytest.raises(ValueError, match=rf"image \(.*\) does not fit {name}: .* crops of \(.*\) only"):
        adapt(network).encode_visible(image, everything())


@pytest.mark.parametrize("place", [NUMBER, -1])
def test_tokens_that_are_not_there_raise(network, name, place):
    with pytest.raises((IndexError, RuntimeError), match="index"):
        adapt(network).encode_visible(noise(name), torch.tensor([[0, place], [0, 1]]))
