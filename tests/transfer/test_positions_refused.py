"""Position embeddings that are not resized, since nothing shows their grid or another network wrote them."""

from __future__ import annotations

import pytest
import torch

from custom_components.transfer import check_pretrained, load_pretrained, write_card
from tests.transfer.position_files import KERNEL, KEY
from tests.transfer.refusals import refusal

REFUSED = "position embeddings hold one entry per cell of the crop: allowed are weights that were pretrained with "


def check_refused(target, path, *parts):
    message = refusal(target, path)
    for part in (f"do not fit {type(target).__name__}: 99% of its encoder", *parts):
        assert part in message
    return message


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((64, 32, 32), (64, 48, 32)),  # neither is a cube
        ((64, 32, 32), (48, 48, 48)),  # the file's number of cells is none of a cube
        ((16, 16, 16), (64, 32, 16)),  # the network's number of cells is that of a cube, its crop is none
    ],
)
def test_without_a_card_grids_that_are_no_cubes_are_refused(make_network, save_unetr, size, want):
    path, state = save_unetr(size)
    target = make_network("UNETR", 1, 3, size=want)
    check_refused(
        target,
        path,
        f"position_embeddings: {tuple(state[KEY].shape)} -> {tuple(target.state_dict()[KEY].shape)}",
        f"{REFUSED}this network's roi_size and img_size {want}",
        "or weights whose card states the roi_size of their pretraining",
    )


@pytest.mark.parametrize("crop", [(32, 32, 32), (64, 32, 40), (0, 32, 32), (64, 64, 64)])
def test_a_card_whose_crop_is_not_that_of_the_file_resizes_nothing(make_network, save_unetr, crop):
    path, _ = save_unetr((64, 32, 32), crop)
    message = check_refused(make_network("UNETR", 1, 3, size=(64, 48, 32)), path, REFUSED)
    assert message.endswith("img_size (64, 48, 32)"), "a card is there: nothing is said about one"


@pytest.mark.parametrize(
    "view", [{"roi_size": "64"}, {"roi_size": [64, 32]}, {"roi_size": [64.5] * 3}, {}, None, 3]
)
def test_a_card_that_states_no_crop_counts_as_none(make_network, save_unetr, view):
    path, _ = save_unetr((32, 32, 32), view=view)
    _, report = check_pretrained(make_network("UNETR", size=(48, 48, 48)), path)
    assert report.resized == [f"{KEY}: (2, 2, 2) -> (3, 3, 3)"]
    check_refused(make_network("UNETR", size=(64, 32, 32)), path, "or weights whose card states")


def test_embeddings_of_another_hidden_size_are_refused(make_network, save_unetr):
    def other(state):
        state[KEY] = torch.zeros(1, 8, 30)

    path, _ = save_unetr((32, 32, 32), (32, 32, 32), other)
    check_refused(make_network("UNETR", size=(48, 48, 48)), path, "(1, 8, 30) -> (1, 27, 24)", REFUSED)


@pytest.mark.parametrize("crop", [(32, 32, 32), None])
def test_embeddings_of_another_token_size_are_refused(make_network, save_unetr, crop):
    def other(state):
        state[KERNEL] = torch.zeros(24, 1, 8, 8, 8)
        state[KEY] = torch.zeros(1, 64, 24)

    path, _ = save_unetr((32, 32, 32), crop, other)
    target = make_network("UNETR", size=(48, 48, 48))
    lines = (
        f"{KERNEL}: (24, 1, 8, 8, 8) -> (24, 1, 16, 16, 16)",
        "position_embeddings: (1, 64, 24) -> (1, 27, 24)",
    )
    message = check_refused(target, path, *lines)
    assert "whose card" not in message, "a card would not help"
    state, report = check_pretrained(target, path, min_share=0.5)
    assert report.resized == []
    assert torch.equal(state[KEY], target.state_dict()[KEY])


@pytest.mark.parametrize(("have", "want"), [("UNETR", "UNETRPatch8"), ("UNETRPatch8", "UNETR")])
@pytest.mark.parametrize("card", [True, False])
def test_a_unetr_of_other_patches_is_refused_whatever_the_crop(make_network, tmp_path, have, want, card):
    path = tmp_path / "model.pt"
    torch.save(make_network(have, size=(32, 32, 32)).state_dict(), path)
    if card:
        write_card(path, {"view": {"roi_size": [32, 32, 32]}, "trained": ["vit."]})
    for size in ((32, 32, 32), (48, 48, 48), (16, 16, 16)):
        target = make_network(want, 1, 3, size=size)
        with pytest.raises(ValueError, match=f"do not fit {want}: .*{KERNEL}: "):
            load_pretrained(target, path)
        assert check_pretrained(target, path, min_share=0.5)[1].resized == []


def test_a_file_that_does_not_show_its_token_size_is_refused(make_network, save_unetr):
    path, _ = save_unetr((32, 32, 32), (32, 32, 32), lambda state: state.pop(KERNEL))
    check_refused(make_network("UNETR", size=(48, 48, 48)), path, "(1, 8, 24) -> (1, 27, 24)")
