"""What a method did not train stays as the target was initialised, and the report says so."""

from __future__ import annotations

import json
import re

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.pretext import HybridMIM
from custom_components.transfer import check_pretrained, load_pretrained, match, trained_prefixes, write_card


@pytest.fixture
def save(make_network, tmp_path):
    """``save(name, trained)``: weights of a network, with a card that says what was trained."""

    def save(name, trained, file="model.pt", **kwargs):
        network = make_network(name, seed=1, **kwargs)
        module = network if file == "model.pt" else HybridMIM(network)
        torch.save(module.state_dict(), tmp_path / file)
        write_card(tmp_path / file, {} if trained is None else {"trained": trained})
        return tmp_path / file, network.state_dict()

    return save


def output_layer(network):
    return {key for key in network.state_dict() if key.startswith(adapt(network).output_layer + ".")}


@pytest.mark.parametrize("file", ["model.pt", "pretext.pt"])
def test_an_encoder_is_loaded_and_the_rest_stays_as_initialised(make_network, network_name, save, tmp_path, file):
    target = make_network(network_name, 1, 3, seed=2)
    prefixes, before = adapt(target).encoder_prefixes, {k: v.clone() for k, v in target.state_dict().items()}
    path, state = save(network_name, list(prefixes), file)
    report = load_pretrained(target, path, report_path=tmp_path / "transfer.json")
    encoder = {key for key in before if key.startswith(prefixes)}
    assert set(report.matched) == encoder
    assert set(report.untrained) == set(before) - encoder - output_layer(target)
    assert report.untrained, "there is a decoder"
    assert set(report.expected_missing) == output_layer(target)
    assert report.encoder_share == 1.0
    assert report.missing == report.wrong_shape == report.adapted == report.resized == []
    for key, value in target.state_dict().items():
        assert torch.equal(value, (state if key in encoder else before)[key]), key
    content = json.loads((tmp_path / "transfer.json").read_text())
    assert content["untrained"] == report.untrained
    assert content["counts"]["untrained"] == len(report.untrained)
    assert f"{len(report.untrained)} untrained" in report.summary()


@pytest.mark.parametrize("trained", [None, [""], ["", "vit."]])
def test_a_card_that_leaves_nothing_out_loads_everything(make_network, network_name, save, trained):
    target = make_network(network_name, 1, 3, seed=2)
    path, state = save(network_name, trained)
    report = load_pretrained(target, path)
    assert set(report.matched) == set(state) - output_layer(target)
    assert report.untrained == []


def test_every_key_is_in_one_list(make_network, network_name, save):
    path, state = save(network_name, ["encoder", "down_2.", "down_layers.0", "swinViT.layers1"])
    del state[next(iter(state))]
    target = make_network(network_name, 2, 3, seed=2)
    _, report = match(state, target, trained=("encoder", "down_2.", "down_layers.0", "swinViT.layers1"))
    lists = (report.matched, report.adapted, report.expected_missing, report.untrained, report.missing)
    found = [key for names in lists for key in names] + [line.split(":")[0] for line in report.wrong_shape]
    assert sorted(found) == sorted(target.state_dict())


def test_an_untrained_key_of_another_shape_is_no_problem(make_network):
    source, target = make_network("BasicUNet", seed=1).state_dict(), make_network("BasicUNet", seed=2)
    source["upcat_1.upsample.deconv.weight"] = torch.zeros(1)
    _, report = match(source, target, trained=adapt(target).encoder_prefixes)
    assert "upcat_1.upsample.deconv.weight" in report.untrained
    assert report.wrong_shape == []


def test_an_untrained_key_that_the_file_lacks_is_missing(make_network):
    source, target = make_network("BasicUNet", seed=1).state_dict(), make_network("BasicUNet", seed=2)
    del source["upcat_1.upsample.deconv.weight"]
    _, report = match(source, target, trained=adapt(target).encoder_prefixes)
    assert report.missing == ["upcat_1.upsample.deconv.weight"]


def test_the_untrained_part_of_an_encoder_counts_as_not_found(make_network, save):
    target = make_network("BasicUNet", 1, 3, seed=2)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    path, _ = save("BasicUNet", ["conv_0.", "down_1.", "down_2.", "down_3.", "upcat_", "final_conv."])
    with pytest.raises(ValueError, match="80% of its encoder found, 100% needed") as error:
        load_pretrained(target, path)
    assert "down_4.convs.conv_0.conv.weight: not trained, says the card" in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
    report = load_pretrained(target, path, min_share=0.8)
    assert report.untrained
    assert all(key.startswith("down_4.") for key in report.untrained)


def test_a_file_of_which_nothing_was_trained_raises_whatever_share_is_asked_for(make_network, save):
    path, _ = save("BasicUNet", [])
    with pytest.raises(ValueError, match="0% of its encoder found"):
        check_pretrained(make_network("BasicUNet"), path, min_share=1e-6)


def test_another_number_of_channels_is_dealt_with_in_the_trained_stem_alone(make_network, save):
    path, _ = save("UNETR", ["vit."])
    target = make_network("UNETR", 2, 3, seed=2)
    report = load_pretrained(target, path)
    assert report.adapted == ["vit.patch_embedding.patch_embeddings.weight"]
    assert set(adapt(target).input_convs[1:]) <= set(report.untrained)
    assert report.encoder_share == 1.0


@pytest.mark.parametrize("trained", ["vit.", None, {"vit.": True}, [1], ["vit.", None]])
def test_a_card_that_says_it_otherwise_raises_and_is_named(make_network, save, tmp_path, trained):
    path, _ = save("BasicUNet", ["vit."])
    write_card(path, {"trained": trained})
    said = re.escape(f"model.card.json: trained is {trained!r}; allowed: a list of state-dict prefixes")
    with pytest.raises(ValueError, match=said):
        check_pretrained(make_network("BasicUNet"), path)


def test_what_cards_say_is_trained(tmp_path):
    assert trained_prefixes(None, tmp_path) == ("",)
    assert trained_prefixes({}, tmp_path) == ("",)
    assert trained_prefixes({"trained": ["vit.", "out."]}, tmp_path) == ("vit.", "out.")
