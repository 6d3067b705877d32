"""Loading is never silent: shares, cards, views and files that are none."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from custom_components.transfer import (
    cards,
    check_pretrained,
    file_sha256,
    load_pretrained,
    read_card,
    read_weights,
    write_card,
)

VIEW = {"channels": ["CT"], "roi": [96, 96, 96], "spacing": [1.5, 1.5, 2.0], "orientation": "RAS"}
ARGUMENTS = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "features": (4, 4, 8, 8, 16, 4)}
NETWORK = {"class": "BasicUNet", "arguments": ARGUMENTS}


@pytest.fixture
def source(make_network):
    return make_network("BasicUNet", 1, 1, seed=1)


@pytest.fixture
def target(make_network):
    return make_network("BasicUNet", 1, 14, seed=2)


@pytest.fixture
def weights(source, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(source.state_dict(), path)
    return path


def unchanged(network, make_network):
    fresh = make_network("BasicUNet", 1, 14, seed=2).state_dict()
    return all(torch.equal(value, fresh[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("min_share", [1.0, 0.5, 1e-6])
def test_zero_overlap_raises_whatever_share_is_asked_for(make_network, target, tmp_path, min_share):
    torch.save(make_network("SegResNet").state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="do not fit BasicUNet: 0% of its encoder found") as error:
        load_pretrained(target, tmp_path / "model.pt", min_share=min_share)
    assert "conv_0.conv_0.conv" in str(error.value)
    assert unchanged(target, make_network)


@pytest.mark.parametrize("other", ["BasicUNet", "SegResNet", "SwinUNETR", "UNETR", "UNETRPatch8"])
def test_the_weights_of_another_network_raise(make_network, network_name, other, tmp_path):
    if other == network_name:
        pytest.skip("its own weights")
    torch.save(make_network(other).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=f"do not fit {network_name}: .*100% needed"):
        load_pretrained(make_network(network_name, 1, 3), tmp_path / "model.pt")


def test_a_partial_encoder_raises_below_the_stated_share_only(source, target, tmp_path, make_network):
    state = {key: value for key, value in source.state_dict().items() if not key.startswith("down_4.")}
    path = tmp_path / "model.pt"
    torch.save(state, path)
    with pytest.raises(ValueError, match="80% of its encoder found, 100% needed"):
        load_pretrained(target, path)
    with pytest.raises(ValueError, match="80% of its encoder found, 90% needed"):
        load_pretrained(target, path, min_share=0.9)
    assert unchanged(target, make_network)
    report = load_pretrained(target, path, min_share=0.8)
    assert report.encoder_share == pytest.approx(0.8)
    assert report.missing
    assert all(key.startswith("down_4.") for key in report.missing)


def test_a_missing_decoder_is_reported_and_does_not_raise(source, target, tmp_path):
    state = {key: v for key, v in source.state_dict().items() if key.startswith(("conv_0.", "down_"))}
    torch.save(state, tmp_path / "encoder.pt")
    report = load_pretrained(target, tmp_path / "encoder.pt")
    assert set(report.matched) == set(state)
    assert all(key.startswith("upcat_") for key in report.missing)


def test_weights_of_another_crop_that_no_card_tells_raise_and_name_the_position_embeddings(make_network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(make_network("UNETR", size=(64, 32, 32)).state_dict(), path)
    target = make_network("UNETR", 1, 3, size=(64, 48, 32))
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError, match="do not fit UNETR: 99% of its encoder") as error:
        load_pretrained(target, path)
    for part in (
        "position_embeddings: (1, 16, 24) -> (1, 24, 24)",
        "pretrained with this network's roi_size and img_size (64, 48, 32)",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_unetr_weights_need_not_hold_the_norms_that_it_never_reads(make_network, tmp_path):
    state = make_network("UNETR", seed=1).state_dict()
    torch.save({key: value for key, value in state.items() if "norm_cross_attn" not in key}, tmp_path / "model.pt")
    report = load_pretrained(make_network("UNETR", 1, 3, seed=2), tmp_path / "model.pt")
    assert report.encoder_share == 1.0
    assert len(report.missing) == 24
    assert all(".norm_cross_attn." in key for key in report.missing)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_outside_its_range_raises(weights, target, share):
    with pytest.raises(ValueError, match=f"min_share is {share}; allowed: a number above 0 and at most 1"):
        load_pretrained(target, weights, min_share=share)


def test_check_pretrained_reads_and_matches_without_loading(weights, target, make_network):
    state, report = check_pretrained(target, weights)
    assert report.matched
    assert set(state) == set(target.state_dict())
    assert unchanged(target, make_network)


def test_a_wrong_sha_raises_and_names_both(weights, target, make_network):
    card = write_card(weights, {})
    said = json.loads(card.read_text())["sha256"]
    torch.save(make_network("BasicUNet", 1, 1, seed=7).state_dict(), weights)
    with pytest.raises(ValueError, match=rf"has sha256 \w{{64}}, but its card model.card.json says {said}"):
        load_pretrained(target, weights)
    assert unchanged(target, make_network)


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
    ("text", "message"), [("{", "is not valid JSON"), ("[1]", "holds a list; a weights card")]
)
def test_a_broken_card_raises(weights, text, message):
    weights.with_suffix(".card.json").write_text(text)
    with pytest.raises(ValueError, match=f"model.card.json {message}"):
        read_card(weights)


def test_no_card_is_none(weights):
    assert read_card(weights) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"   \n ", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not a torch file"),
        (b"\n  <html>", "is a web page, not a torch file"),
        (b"not a torch file at all", "cannot be read as tensors"),
    ],
)
def test_files_that_are_no_weights_raise_and_are_named(target, tmp_path, content, message, make_network):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights file .*model.pt {message}") as error:
        load_pretrained(target, path)
    assert "\n" not in str(error.value)
    assert unchanged(target, make_network)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_raises_and_is_named(weights, target, share):
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"model.pt cannot be read as tensors \(truncated"):
        load_pretrained(target, weights)


def test_a_check_and_the_loading_read_and_hash_the_file_once(weights, target, monkeypatch):
    write_card(weights, {})
    reads, opened, load, builtin = [], [], torch.load, open
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: reads.append(args) or load(*args, **kwargs))
    monkeypatch.setattr(cards, "open", lambda *args: opened.append(args) or builtin(*args), raising=False)
    check_pretrained(target, weights)
    report = load_pretrained(target, weights)
    assert file_sha256(weights) == read_card(weights)["sha256"]
    assert (len(reads), len(opened)) == (1, 1)
    assert report.encoder_share == 1.0
    torch.save({key: value + 1 for key, value in target.state_dict().items()}, weights)
    assert not torch.equal(read_weights(weights)["conv_0.conv_0.conv.bias"], target.conv_0.conv_0.conv.bias)


def test_a_missing_file_raises_and_is_named(target, tmp_path):
    with pytest.raises(ValueError, match="model.pt does not exist"):
        load_pretrained(target, tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"a": torch.ones(1), "b": "text"}, torch.ones(2)])
def test_content_that_is_no_dictionary_of_tensors_raises(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="holds no dictionary of tensors"):
        read_weights(tmp_path / "model.pt")


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"a": Harmful()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        read_weights(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("wrapper", ["network", "state_dict", "model", "net", "pretext"])
def test_a_nested_checkpoint_is_unwrapped(source, target, tmp_path, wrapper):
    content = {wrapper: {f"module.{key}": value for key, value in source.state_dict().items()}, "epoch": 3}
    torch.save(content, tmp_path / "checkpoint.pt")
    report = load_pretrained(target, tmp_path / "checkpoint.pt")
    assert len(report.matched) == len(target.state_dict()) - 2
    assert report.unexpected == []


def test_prefixes_are_taken_off_at_the_start_of_keys_only(tmp_path):
    torch.save({"module.a.module.b": torch.ones(1), "c.network.d": torch.ones(1)}, tmp_path / "model.pt")
    assert set(read_weights(tmp_path / "model.pt")) == {"a.module.b", "c.network.d"}
