"""Position embeddings of another crop: resized where their grid is known, refused where it is not."""

from __future__ import annotations

import json
import logging
import math

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.transfer import check_pretrained, load_pretrained, match, resize_positions, write_card

KEY = "vit.patch_embedding.position_embeddings"
KERNEL = "vit.patch_embedding.patch_embeddings.weight"
REFUSED = "position embeddings hold one entry per cell of the crop: allowed are weights that were pretrained with "


def slow_resize(source, have, want):
    """One cell, feature and axis at a time; the middle of a cell is half a cell behind its border."""

    def neighbours(place, have, want):
        middle = min(max((place + 0.5) * have / want - 0.5, 0), have - 1)
        low = math.floor(middle)
        return [(low, 1 - (middle - low)), (min(low + 1, have - 1), middle - low)]

    out = torch.zeros(1, math.prod(want), source.shape[2])
    for d in range(want[0]):
        for h in range(want[1]):
            for w in range(want[2]):
                for z, share_z in neighbours(d, have[0], want[0]):
                    for y, share_y in neighbours(h, have[1], want[1]):
                        for x, share_x in neighbours(w, have[2], want[2]):
                            token = source[0, (z * have[1] + y) * have[2] + x]
                            out[0, (d * want[1] + h) * want[2] + w] += share_z * share_y * share_x * token
    return out


GRIDS = [
    ((4, 2, 2), (4, 3, 2)),
    ((4, 2, 3), (2, 5, 3)),
    ((2, 2, 4), (4, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((1, 2, 1), (3, 1, 4)),
    ((2, 3, 5), (6, 6, 6)),
]


@pytest.mark.parametrize(("have", "want"), GRIDS)
@pytest.mark.parametrize("features", [1, 5])
def test_resizing_is_the_slow_loop(have, want, features):
    source = torch.randn(1, math.prod(have), features, generator=torch.Generator().manual_seed(1))
    found = resize_positions(source, have, want)
    torch.testing.assert_close(found, slow_resize(source, have, want))


@pytest.mark.parametrize("grid", [(4, 2, 3), (1, 1, 1)])
def test_the_same_grid_gives_the_same_embeddings(grid):
    source = torch.randn(1, math.prod(grid), 4)
    torch.testing.assert_close(resize_positions(source, grid, grid), source)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slope_along_one_axis_stays_along_that_axis_and_ends_flat(axis):
    have, want = [2, 3, 4], [2, 3, 4]
    want[axis] *= 2
    slope = torch.arange(float(have[axis])).reshape([-1 if a == axis else 1 for a in range(3)]).expand(have)
    found = resize_positions(slope.reshape(1, -1, 1), tuple(have), tuple(want)).reshape(want)
    steps = found.movedim(axis, 0).flatten(1)
    inner = 0.25 + 0.5 * torch.arange(2 * have[axis] - 2.0)
    expected = torch.cat([torch.zeros(1), inner, torch.tensor([have[axis] - 1.0])])
    torch.testing.assert_close(steps, expected[:, None].expand_as(steps))


def test_half_precision_stays_half_precision():
    source = torch.randn(1, 8, 4).half()
    found = resize_positions(source, (2, 2, 2), (3, 2, 2))
    assert found.dtype is torch.float16
    torch.testing.assert_close(found, slow_resize(source.float(), (2, 2, 2), (3, 2, 2)).half())


@pytest.fixture
def save(make_network, tmp_path):
    """``save(size, crop=None)``: weights of a UNETR for crops of ``size``, with a card where ``crop`` is given."""

    def save(size, crop=None, change=None, **card):
        state = make_network("UNETR", seed=1, size=size).state_dict()
        if change is not None:
            change(state)
        torch.save(state, tmp_path / "model.pt")
        if crop is not None or card:
            write_card(tmp_path / "model.pt", {"view": {"roi_size": crop}, **card})
        return tmp_path / "model.pt", state

    return save


@pytest.mark.parametrize(
    ("size", "want"), [((64, 32, 32), (64, 48, 32)), ((48, 32, 64), (32, 64, 48)), ((32, 32, 32), (48, 16, 32))]
)
def test_the_cards_crop_says_how_to_resize(make_network, save, tmp_path, size, want):
    path, state = save(size, size)
    target = make_network("UNETR", 1, 3, seed=2, size=want)
    report = load_pretrained(target, path, report_path=tmp_path / "transfer.json")
    have, grid = (tuple(side // 16 for side in crop) for crop in (size, want))
    line = f"{KEY}: {have} -> {grid}"
    assert report.resized == [line]
    assert report.encoder_share == 1.0
    assert set(report.matched) == set(state) - {KEY, "out.conv.conv.weight", "out.conv.conv.bias"}
    assert report.adapted == report.missing == report.wrong_shape == report.untrained == []
    found = target.state_dict()
    torch.testing.assert_close(found[KEY], slow_resize(state[KEY], have, grid))
    assert all(torch.equal(found[key], state[key]) for key in report.matched)
    content = json.loads((tmp_path / "transfer.json").read_text())
    assert content["resized"] == [line]
    assert content["counts"]["resized"] == 1
    assert "1 resized" in report.summary()


@pytest.mark.parametrize(
    ("size", "crop", "want", "resized"),
    [
        ((32, 32, 32), 32, (64, 32, 32), "(2, 2, 2) -> (4, 2, 2)"),  # one number states a cube
        ((32, 32, 32), None, (48, 48, 48), "(2, 2, 2) -> (3, 3, 3)"),  # cubes are recognised without a card
        ((48, 48, 48), None, (32, 32, 32), "(3, 3, 3) -> (2, 2, 2)"),
        (
            (64, 32, 16),
            None,
            (48, 48, 48),
            "(2, 2, 2) -> (3, 3, 3)",
        ),  # any cubic number counts as a cube
        ((64, 32, 32), (64, 32, 32), (32, 32, 64), "(4, 2, 2) -> (2, 2, 4)"),  # another grid of as many cells
    ],
)
def test_embeddings_are_resized_between_the_grids_of_both_crops(make_network, save, size, crop, want, resized):
    path, state = save(size, crop)
    target = make_network("UNETR", 1, 3, seed=2, size=want)
    report = load_pretrained(target, path)
    assert report.resized == [f"{KEY}: {resized}"]
    have, grid = (tuple(map(int, grid.strip("()").split(","))) for grid in resized.split(" -> "))
    torch.testing.assert_close(target.state_dict()[KEY], slow_resize(state[KEY], have, grid))


@pytest.mark.parametrize("crop", [(64, 32, 32), None])
def test_the_same_crop_is_loaded_as_it_is(make_network, save, crop):
    path, state = save((64, 32, 32), crop)
    target = make_network("UNETR", 1, 3, seed=2)
    report = load_pretrained(target, path)
    assert report.resized == []
    assert KEY in report.matched
    assert torch.equal(target.state_dict()[KEY], state[KEY])


def check_refused(target, path, *parts, share="99%"):
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError, match=f"do not fit {type(target).__name__}: {share} of its encoder") as error:
        load_pretrained(target, path)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
    return str(error.value)


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((64, 32, 32), (64, 48, 32)),  # neither is a cube
        ((64, 32, 32), (48, 48, 48)),  # the file's number of cells is none of a cube
        ((16, 16, 16), (64, 32, 16)),  # the network's number of cells is that of a cube, its crop is none
    ],
)
def test_without_a_card_grids_that_are_no_cubes_are_refused(make_network, save, size, want):
    path, state = save(size)
    target = make_network("UNETR", 1, 3, size=want)
    check_refused(
        target,
        path,
        f"position_embeddings: {tuple(state[KEY].shape)} -> {tuple(target.state_dict()[KEY].shape)}",
        f"{REFUSED}this network's roi_size and img_size {want}",
        "or weights whose card states the roi_size of their pretraining",
    )


@pytest.mark.parametrize("crop", [(32, 32, 32), (64, 32, 40), (0, 32, 32), (64, 64, 64)])
def test_a_card_whose_crop_is_not_that_of_the_file_resizes_nothing(make_network, save, crop):
    path, _ = save((64, 32, 32), crop)
    message = check_refused(make_network("UNETR", 1, 3, size=(64, 48, 32)), path, REFUSED)
    assert message.endswith("img_size (64, 48, 32)"), "a card is there: nothing is said about one"


@pytest.mark.parametrize(
    "view", [{"roi_size": "64"}, {"roi_size": [64, 32]}, {"roi_size": [64.5] * 3}, {}, None, 3]
)
def test_a_card_that_states_no_crop_counts_as_none(make_network, save, view):
    path, _ = save((32, 32, 32), view=view)
    _, report = check_pretrained(make_network("UNETR", size=(48, 48, 48)), path)
    assert report.resized == [f"{KEY}: (2, 2, 2) -> (3, 3, 3)"]
    check_refused(make_network("UNETR", size=(64, 32, 32)), path, "or weights whose card states")


def test_embeddings_of_another_hidden_size_are_refused(make_network, save):
    def other(state):
        state[KEY] = torch.zeros(1, 8, 30)

    path, _ = save((32, 32, 32), (32, 32, 32), other)
    check_refused(make_network("UNETR", size=(48, 48, 48)), path, "(1, 8, 30) -> (1, 27, 24)", REFUSED)


@pytest.mark.parametrize("crop", [(32, 32, 32), None])
def test_embeddings_of_another_token_size_are_refused(make_network, save, crop):
    def other(state):
        state[KERNEL] = torch.zeros(24, 1, 8, 8, 8)
        state[KEY] = torch.zeros(1, 64, 24)

    path, _ = save((32, 32, 32), crop, other)
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


@pytest.mark.parametrize("card", [True, False])
def test_smaller_tokens_have_a_finer_grid(make_network, tmp_path, card):
    path = tmp_path / "model.pt"
    size, want = ((24, 16, 32), (32, 16, 24)) if card else ((16, 16, 16), (24, 24, 24))
    state = make_network("UNETRPatch8", seed=1, size=size).state_dict()
    torch.save(state, path)
    if card:
        write_card(path, {"view": {"roi_size": size}})
    target = make_network("UNETRPatch8", 1, 3, seed=2, size=want)
    report = load_pretrained(target, path)
    have, grid = (tuple(side // 8 for side in crop) for crop in (size, want))
    assert report.resized == [f"{KEY}: {have} -> {grid}"]
    torch.testing.assert_close(target.state_dict()[KEY], slow_resize(state[KEY], have, grid))


def test_a_file_that_does_not_show_its_token_size_is_refused(make_network, save):
    path, _ = save((32, 32, 32), (32, 32, 32), lambda state: state.pop(KERNEL))
    check_refused(make_network("UNETR", size=(48, 48, 48)), path, "(1, 8, 24) -> (1, 27, 24)")


def test_another_number_of_channels_and_another_crop_are_both_dealt_with(make_network, save):
    network = {"class": "UNETR", "arguments": {"in_channels": 1, "img_size": (32, 32, 32), "hidden_size": 24}}
    path, state = save((32, 32, 32), (32, 32, 32), network=network)
    target = make_network("UNETR", 2, 3, seed=2, size=(48, 32, 32))
    mine = {**network, "arguments": {"in_channels": 2, "img_size": [48, 32, 32], "hidden_size": 24}}
    report = load_pretrained(target, path, architecture=mine)
    assert set(report.adapted) == set(adapt(target).input_convs)
    assert report.resized == [f"{KEY}: (2, 2, 2) -> (3, 2, 2)"]
    assert report.network_differences == [], "what was resized is listed already"
    assert report.encoder_share == 1.0


def test_the_crops_of_the_two_views_are_named_all_the_same(make_network, save, caplog):
    path, _ = save((32, 32, 32), (32, 32, 32))
    with caplog.at_level(logging.WARNING):
        load_pretrained(make_network("UNETR", size=(48, 32, 32)), path, view={"roi_size": (48, 32, 32)})
    assert "roi_size: pretrained with [32, 32, 32], this config has [48, 32, 32]" in caplog.text


def test_networks_without_position_embeddings_ask_for_no_crop(make_network, network_name):
    source, target = make_network(network_name, seed=1), make_network(network_name, seed=2)
    for crop in (None, (64, 32, 32)):
        _, report = match(source.state_dict(), target, crop=crop)
        assert report.resized == []
        assert report.encoder_share == 1.0
