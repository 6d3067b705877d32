"""Weights cards: what they state, what is compared with a config, and which are refused."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from custom_components.transfer import (
    check_pretrained,
    load_pretrained,
    read_card,
    write_card,
)

VIEW = {"channels": ["CT"], "roi": [96, 96, 96], "spacing": [1.5, 1.5, 2.0], "orientation": "RAS"}
ARGUMENTS = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "features": (4, 4, 8, 8, 16, 4)}
NETWORK = {"class": "BasicUNet", "arguments": ARGUMENTS}


def test_a_wrong_sha_raises_and_names_both(weights, target, make_network, unchanged):
    card = write_card(weights, {})
    said = json.loads(card.read_text())["sha256"]
    torch.save(make_network("BasicUNet", 1, 1, seed=7).state_dict(), weights)
    with pytest.raises(ValueError, match=rf"has sha256 \w{{64}}, but its card model.card.json says {said}"):
        load_pretrained(target, weights)
    assert unchanged()


def test_a_missing_card_warns_and_a_good_one_does_not(weights, target, caplog):
    with caplog.at_level(logging.WARNING):
        load_pretrained(target, weights)
    assert f"{weights} has no weights card" in caplog.text
    caplog.clear()
    write_card(weights, {"view": VIEW})
    with caplog.at_level(logging.WARNING):
        load_pretrained(target, weights, view=VIEW)
    assert caplog.text == ""


def test_differences_of_the_view_are_named_with_both_values(weights, target, caplog, tmp_path):
    write_card(weights, {"view": VIEW})
    mine = {**VIEW, "spacing": (1.0, 1.0, 1.0), "roi": (96, 96, 96), "window": [-175, 250]}
    with caplog.at_level(logging.WARNING):
        report = load_pretrained(target, weights, view=mine, report_path=tmp_path / "out" / "transfer.json")
    difference = "spacing: pretrained with [1.5, 1.5, 2.0], this config has [1.0, 1.0, 1.0]"
    assert report.view_differences == [difference]
    assert difference in caplog.text
    content = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert content["view_differences"] == [difference]
    assert content["matched"] == report.matched
    assert content["counts"]["expected_missing"] == 2


@pytest.mark.parametrize(
    ("theirs", "ours", "differences"),
    [
        ({}, {}, []),
        ({}, {"out_channels": 14, "use_checkpoint": True}, []),
        ({"act": "PRELU"}, {"act": "RELU"}, ["act: pretrained with PRELU, this config has RELU"]),
        ({"norm": ("group", {"num_groups": 4})}, {"norm": ["group", {"num_groups": 4}]}, []),
        ({"act": "PRELU"}, {}, ["act: pretrained with PRELU, not stated in this config"]),
        ({}, {"normalize": False}, ["normalize: not stated in the weights card, this config has False"]),
        ({}, {"in_channels": 2}, ["in_channels: pretrained with 1, this config has 2"]),
        (
            {"norm": "instance", "act": "PRELU"},
            {"act": "RELU", "norm": "batch"},
            [
                "act: pretrained with PRELU, this config has RELU",
                "norm: pretrained with instance, this config has batch",
            ],
        ),
    ],
)
def test_differing_arguments_of_the_network_are_named_and_logged(
    weights, target, caplog, tmp_path, theirs, ours, differences
):
    write_card(weights, {"network": {**NETWORK, "arguments": {**ARGUMENTS, **theirs}}})
    mine = {**NETWORK, "arguments": {**ARGUMENTS, **ours}}
    with caplog.at_level(logging.WARNING):
        report = load_pretrained(target, weights, architecture=mine, report_path=tmp_path / "transfer.json")
    assert report.network_differences == differences
    assert [record.getMessage() for record in caplog.records] == [
        f"the pretrained network was built differently: {line}" for line in differences
    ]
    assert json.loads((tmp_path / "transfer.json").read_text())["network_differences"] == differences


def test_another_class_of_the_network_is_named(weights, target):
    write_card(weights, {"network": {**NETWORK, "class": "OtherUNet"}})
    _, report = check_pretrained(target, weights, architecture=NETWORK)
    assert report.network_differences == ["class: pretrained with OtherUNet, this config has BasicUNet"]


@pytest.mark.parametrize("input_layer", ["repeat_mean", "first", "reinit"])
def test_another_number_of_input_channels_is_no_difference_where_the_stem_was_adapted(
    make_network, network_name, input_layer, tmp_path
):
    path = tmp_path / "stem.pt"
    torch.save(make_network(network_name, 1, 1).state_dict(), path)
    write_card(path, {"network": {"class": network_name, "arguments": {"in_channels": 1}}})
    mine = {"class": network_name, "arguments": {"in_channels": 2, "out_channels": 3}}
    network = make_network(network_name, 2, 3)
    _, report = check_pretrained(network, path, input_layer, architecture=mine)
    assert report.network_differences == []


@pytest.mark.parametrize("content", [{}, {"network": None}, {"network": "BasicUNet"}, {"network": {}}])
def test_a_card_without_a_network_is_named_where_one_is_to_be_compared(weights, target, content):
    write_card(weights, content)
    _, report = check_pretrained(target, weights, architecture=NETWORK)
    assert report.network_differences == ["network: not stated in the weights card"]
    assert check_pretrained(target, weights)[1].network_differences == []


def test_the_card_of_a_file_says_what_it_was_given_and_where_it_comes_from(weights):
    write_card(weights, {"method": "HybridMIM", "view": VIEW, "datalist_hash": "abc"})
    card = read_card(weights)
    assert card["method"] == "HybridMIM"
    assert card["view"] == VIEW
    assert card["datalist_hash"] == "abc"
    assert set(card["versions"]) == {"custom_components", "monai", "torch"}
    assert {"commit", "written", "sha256"} <= card.keys()
    assert [path.name for path in weights.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not readable as JSON"), ("[1]", "holds a list, expected a JSON object")]
)
def test_a_broken_card_raises(weights, text, message):
    weights.with_suffix(".card.json").write_text(text)
    with pytest.raises(ValueError, match=f"model.card.json {message}"):
        read_card(weights)


def test_no_card_is_none(weights):
    assert read_card(weights) is None
