"""Loading is never silent: shares of the encoder, and what is reported."""

from __future__ import annotations

import pytest
import torch

from custom_components.transfer import (
    check_pretrained,
    load_pretrained,
)


@pytest.mark.parametrize("min_share", [1.0, 0.5, 1e-6])
def test_zero_overlap_raises_whatever_share_is_asked_for(make_network, target, tmp_path, min_share, unchanged):
    torch.save(make_network("SegResNet").state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="do not fit BasicUNet: 0% of its encoder found") as error:
        load_pretrained(target, tmp_path / "model.pt", min_share=min_share)
    assert "conv_0.conv_0.conv" in str(error.value)
    assert unchanged()


@pytest.mark.parametrize("other", ["BasicUNet", "SegResNet", "SwinUNETR", "UNETR", "UNETRPatch8"])
def test_the_weights_of_another_network_raise(make_network, network_name, other, tmp_path):
    if other == network_name:
        pytest.skip("its own weights")
    torch.save(make_network(other).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=f"do not fit {network_name}: .*100% needed"):
        load_pretrained(make_network(network_name, 1, 3), tmp_path / "model.pt")


def test_a_partial_encoder_raises_below_the_stated_share_only(source, target, tmp_path, unchanged):
    state = {key: value for key, value in source.state_dict().items() if not key.startswith("down_4.")}
    path = tmp_path / "model.pt"
    torch.save(state, path)
    with pytest.raises(ValueError, match="80% of its encoder found, 100% needed"):
        load_pretrained(target, path)
    with pytest.raises(ValueError, match="80% of its encoder found, 90% needed"):
        load_pretrained(target, path, min_share=0.9)
    assert unchanged()
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


def test_check_pretrained_reads_and_matches_without_loading(weights, target, unchanged):
    state, report = check_pretrained(target, weights)
    assert report.matched
    assert set(state) == set(target.state_dict())
    assert unchanged()
