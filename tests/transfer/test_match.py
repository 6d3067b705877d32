"""Which tensors go where: exact key sets for every backbone, and input_convs of other channel numbers."""

from __future__ import annotations

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.pretext import HybridMIM
from custom_components.transfer import load_pretrained, match

PRETEXT_HEADS = {
    f"{head}_head.linear.{part}" for head in ("count", "position", "contrast") for part in ("weight", "bias")
}


def output_layer(network):
    """Keys of the last layer; tests/backbones/test_adapt.py shows that it is all that sees the output channels."""
    return {key for key in network.state_dict() if key.startswith(adapt(network).output_layer + ".")}


def stem(network):
    """Keys of the weights that see the input channels, see tests/backbones/test_adapt.py."""
    return set(adapt(network).input_convs)


def clone(state):
    return {key: value.clone() for key, value in state.items()}


def stem_responses(network, image):
    """What the convolutions that see the image make of it."""
    responses, hooks = [], []
    for name in adapt(network).input_convs:
        module = network.get_submodule(name.removesuffix(".weight"))
        hooks.append(module.register_forward_hook(lambda m, args, out: responses.append(out)))
    with torch.no_grad():
        network.eval()(image)
    for hook in hooks:
        hook.remove()
    return responses


@pytest.mark.parametrize(
    ("file", "prefix", "channels"),
    [
        ("model.pt", "", 1),
        ("pretext.pt", "", 4),
        ("model.pt", "module.", 4),
        ("pretext.pt", "_orig_mod.", 1),
        ("model.pt", "module._orig_mod.", 1),
        ("pretext.pt", "_orig_mod.module.", 4),
    ],
)
def test_all_but_the_output_layer_is_matched_by_name(make_network, network_name, tmp_path, file, prefix, channels):
    source = make_network(network_name, channels, channels, seed=1)
    module = source if file == "model.pt" else HybridMIM(source)
    torch.save({prefix + key: value for key, value in module.state_dict().items()}, tmp_path / file)
    target = make_network(network_name, channels, 14, seed=2)
    before = clone(target.state_dict())
    report = load_pretrained(target, tmp_path / file)
    last, pretrained = output_layer(target), source.state_dict()
    assert set(report.expected_missing) == last
    assert set(report.matched) == set(before) - last
    assert len(report.matched) == len(set(report.matched))
    assert report.adapted == report.missing == report.wrong_shape == []
    assert set(report.unexpected) == (set() if file == "model.pt" else PRETEXT_HEADS)
    assert report.encoder_share == 1.0
    for key, value in target.state_dict().items():
        assert torch.equal(value, (before if key in last else pretrained)[key]), key


def test_the_output_layer_stays_out_even_where_its_shape_agrees(make_network, network_name):
    source, target = make_network(network_name, seed=1), make_network(network_name, seed=2)
    state, report = match(source.state_dict(), target)
    assert set(report.expected_missing) == output_layer(target)
    for key in output_layer(target):
        assert torch.equal(state[key], target.state_dict()[key])
        assert not torch.equal(state[key], source.state_dict()[key])


def test_match_leaves_the_network_and_the_file_alone(make_network, network_name):
    source, target = make_network(network_name, 1, seed=1), make_network(network_name, 4, 14, seed=2)
    given, before = source.state_dict(), clone(target.state_dict())
    kept = clone(given)
    match(given, target)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
    assert given.keys() == kept.keys()
    assert all(torch.equal(given[key], kept[key]) for key in kept)


@pytest.mark.parametrize(("have", "want"), [(1, 4), (4, 1), (2, 3)])
def test_repeat_mean_gives_equal_channels_the_same_response(make_network, network_name, have, want):
    source = make_network(network_name, have, 2, seed=1)
    target = make_network(network_name, want, 5, seed=2)
    state, report = match(source.state_dict(), target, "repeat_mean")
    target.load_state_dict(state)
    assert set(report.adapted) == stem(target)
    assert report.encoder_share == 1.0
    assert set(report.matched) == set(state) - stem(target) - output_layer(target)
    channel = torch.randn(1, 1, 64, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = stem_responses(source, channel.expand(1, have, -1, -1, -1))
    found = stem_responses(target, channel.expand(1, want, -1, -1, -1))
    assert len(expected) == len(found) == len(stem(target))
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("have", "want"), [(1, 4), (4, 1)])
def test_first_puts_the_sources_channels_first(make_network, network_name, have, want):
    source, target = make_network(network_name, have, 2, seed=1), make_network(network_name, want, 2, seed=2)
    state, report = match(source.state_dict(), target, "first")
    assert set(report.adapted) == stem(target)
    for key in stem(target):
        assert torch.equal(state[key][:, :1], source.state_dict()[key][:, :1])
        assert torch.equal(state[key][:, 1:], target.state_dict()[key][:, 1:])


@pytest.mark.parametrize(("have", "want"), [(1, 4), (4, 1)])
def test_reinit_leaves_the_stem_as_initialised_and_says_so(make_network, network_name, have, want):
    source, target = make_network(network_name, have, 2, seed=1), make_network(network_name, want, 2, seed=2)
    state, report = match(source.state_dict(), target, "reinit")
    assert set(report.expected_missing) == stem(target) | output_layer(target)
    assert report.adapted == []
    assert report.encoder_share == 1.0
    for key in stem(target):
        assert torch.equal(state[key], target.state_dict()[key])


@pytest.mark.parametrize("input_layer", ["repeat_mean", "first", "reinit"])
def test_with_equal_channels_the_stem_is_loaded_as_it_is(make_network, network_name, input_layer):
    source, target = make_network(network_name, 4, 2, seed=1), make_network(network_name, 4, 2, seed=2)
    _, report = match(source.state_dict(), target, input_layer)
    assert stem(target) <= set(report.matched)


@pytest.mark.parametrize("file", ["model.pt", "pretext.pt"])
def test_with_the_encoder_alone_all_else_stays_as_initialised(make_network, network_name, tmp_path, file):
    source, target = make_network(network_name, 1, 1, seed=1), make_network(network_name, 1, 3, seed=2)
    torch.save((source if file == "model.pt" else HybridMIM(source)).state_dict(), tmp_path / file)
    before, loaded = clone(target.state_dict()), source.state_dict()
    report = load_pretrained(target, tmp_path / file, transfer="encoder")
    encoder = set(adapt(target).encoder_keys())
    assert 0 < len(encoder) < len(before) - len(output_layer(target)), "there is a decoder"
    assert set(report.matched) >= encoder
    assert set(report.matched) | set(report.expected_missing) == set(before)
    assert not report.missing
    assert report.encoder_share == 1.0
    for key, value in target.state_dict().items():
        assert torch.equal(value, (loaded if key in report.matched else before)[key]), key
    assert all(key.startswith(adapt(target).encoder_prefixes) for key in report.matched)


def test_an_unknown_transfer_raises_and_lists_the_allowed(make_network):
    network = make_network("BasicUNet")
    with pytest.raises(ValueError, match=r"transfer is 'decoder'; allowed: \['all', 'encoder'\]"):
        match(network.state_dict(), network, transfer="decoder")


def test_an_unknown_input_layer_raises_and_lists_the_allowed(make_network):
    network = make_network("BasicUNet")
    with pytest.raises(ValueError, match=r"'sum'; allowed: \['repeat_mean', 'first', 'reinit'\]"):
        match(network.state_dict(), network, "sum")


def test_a_wrong_shape_is_reported_with_both_shapes_and_not_loaded(make_network):
    source, target = make_network("BasicUNet", seed=1), make_network("BasicUNet", seed=2)
    given = source.state_dict()
    key = "down_1.convs.conv_0.conv.weight"
    given[key] = given[key][:, :2]
    state, report = match(given, target)
    assert report.wrong_shape == [f"{key}: (4, 2, 3, 3, 3) -> (4, 4, 3, 3, 3)"]
    assert key not in report.matched
    assert torch.equal(state[key], target.state_dict()[key])
    assert report.encoder_share == pytest.approx(1 - 1 / len(adapt(target).encoder_keys()))


def test_a_stem_of_another_kernel_is_a_wrong_shape_not_another_channel_number(make_network):
    source, target = make_network("BasicUNet", 1, seed=1), make_network("BasicUNet", 4, seed=2)
    given = source.state_dict()
    given["conv_0.conv_0.conv.weight"] = torch.zeros(4, 1, 1, 1, 1)
    _, report = match(given, target)
    assert report.wrong_shape == ["conv_0.conv_0.conv.weight: (4, 1, 1, 1, 1) -> (4, 4, 3, 3, 3)"]


def test_the_report_counts_what_it_lists(make_network):
    source, target = make_network("BasicUNet", 1), make_network("BasicUNet", 4, 14)
    _, report = match(source.state_dict(), target)
    content = report.to_dict()
    assert content["counts"] == {
        "matched": len(target.state_dict()) - 3,
        "adapted": 1,
        "resized": 0,
        "expected_missing": 2,
        "untrained": 0,
        "missing": 0,
        "wrong_shape": 0,
        "unexpected": 0,
    }
    for word in ("1 adapted", "2 expected-missing", "0 missing", "100.0% of the encoder"):
        assert word in report.summary()
