"""Patch merging that a card states: converted when training starts, and compared before inference."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.swin_unetr import PatchMergingV2

from custom_components.backbones import PatchMergingMonai09, PatchMergingSuPreM
from custom_components.backbones.merging import MERGING, MERGING_V2
from custom_components.checks import CompleteWeights
from custom_components.transfer import plain, write_card
from custom_components.transfer.merging import reorder_merging, stated_octants
from tests.transfer import foreign_files as foreign


def card(**arguments):
    return {"network": {"class": "SwinUNETR", "arguments": plain(arguments)}}


@pytest.mark.parametrize(
    ("content", "octants"),
    [
        (card(), MERGING),
        (card(downsample="mergingv2"), MERGING_V2),
        (card(downsample=PatchMergingMonai09), PatchMergingMonai09.octants),
        (card(downsample=PatchMergingSuPreM), PatchMergingSuPreM.octants),
        (card(downsample="theirs"), None),
        ({"network": {"class": "UNETR"}}, None),
        ({"network": {"class": "SwinUNETR"}}, MERGING),
        ({"network": 3}, None),
        (None, None),
    ],
)
def test_what_a_card_states(content, octants) -> None:
    assert stated_octants(content) == octants


def test_channels_move_with_their_octant() -> None:
    """A slow loop over octants; channel c of octant n is entry n * C + c."""
    network = foreign.swin(downsample="mergingv2")
    keys = [f"swinViT.layers2.0.downsample.{name}" for name in ("norm.weight", "norm.bias", "reduction.weight")]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    reordered = reorder_merging(state, MERGING, network, "file.pt")
    channels = state[keys[0]].shape[0] // 8
    for key in keys:
        for place, octant in enumerate(MERGING_V2):
            source = MERGING.index(octant)
            for c in range(channels):
                found, expected = place * channels + c, source * channels + c
                assert torch.equal(reordered[key][..., found], state[key][..., expected])
    same = [key for key in state if "downsample" not in key]
    assert all(reordered[key] is state[key] for key in same)


def test_an_unknown_merging_of_the_network_is_refused() -> None:
    class Other(PatchMergingV2):
        pass

    with pytest.raises(ValueError, match=r"this SwinUNETR has \(downsample Other\), and no conversion is exact"):
        reorder_merging({}, MERGING, foreign.swin(downsample=Other), "file.pt")


def test_weights_for_inference_need_the_merging_of_their_card(tmp_path) -> None:
    path, trained = tmp_path / "model.pt", foreign.swin(downsample=PatchMergingMonai09)
    torch.save(trained.state_dict(), path)
    assert CompleteWeights(foreign.swin(), str(path))() == str(path), "without a card, nothing is known"
    write_card(path, card(downsample=PatchMergingMonai09))
    assert CompleteWeights(trained, str(path))() == str(path)
    with pytest.raises(ValueError, match="model.pt were trained with another patch merging.*PatchMergingMonai09"):
        CompleteWeights(foreign.swin(), str(path))()
    write_card(path, {})
    assert CompleteWeights(foreign.swin(), str(path))() == str(path)
