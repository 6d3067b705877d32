"""Position embeddings of another crop: resized as a slow loop does, where their grid is known."""

from __future__ import annotations

import json
import logging
import math

import pytest
import torch

from custom_components.backbones import adapt
from custom_components.transfer import load_pretrained, match, resize_positions, write_card
from tests.transfer.position_files import KEY, slow_resize

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


@pytest.mark.parametrize(
    ("size", "want"), [((64, 32, 32), (64, 48, 32)), ((48, 32, 64), (32, 64, 48)), ((32, 32, 32), (48, 16, 32))]
)
def test_the_cards_crop_says_how_to_resize(make_network, save_unetr, tmp_path, size, want):
    path, state = save_unetr(size, size)
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
def test_embeddings_are_resized_between_the_grids_of_both_crops(
    make_network, save_unetr, size, crop, want, resized
):
    path, state = save_unetr(size, crop)
    target = make_network("UNETR", 1, 3, seed=2, size=want)
    report = load_pretrained(target, path)
    assert report.resized == [f"{KEY}: {resized}"]
    have, grid = (tuple(map(int, grid.strip("()").split(","))) for grid in resized.split(" -> "))
    torch.testing.assert_close(target.state_dict()[KEY], slow_resize(state[KEY], have, grid))


@pytest.mark.parametrize("crop", [(64, 32, 32), None])
def test_the_same_crop_is_loaded_as_it_is(make_network, save_unetr, crop):
    path, state = save_unetr((64, 32, 32), crop)
    target = make_network("UNETR", 1, 3, seed=2)
    report = load_pretrained(target, path)
    assert report.resized == []
    assert KEY in report.matched
    assert torch.equal(target.state_dict()[KEY], state[KEY])


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


def test_another_number_of_channels_and_another_crop_are_both_dealt_with(make_network, save_unetr):
    network = {"class": "UNETR", "arguments": {"in_channels": 1, "img_size": (32, 32, 32), "hidden_size": 24}}
    path, state = save_unetr((32, 32, 32), (32, 32, 32), network=network)
    target = make_network("UNETR", 2, 3, seed=2, size=(48, 32, 32))
    mine = {**network, "arguments": {"in_channels": 2, "img_size": [48, 32, 32], "hidden_size": 24}}
    report = load_pretrained(target, path, architecture=mine)
    assert set(report.adapted) == set(adapt(target).input_convs)
    assert report.resized == [f"{KEY}: (2, 2, 2) -> (3, 2, 2)"]
    assert report.network_differences == [], "what was resized is listed already"
    assert report.encoder_share == 1.0


def test_the_crops_of_the_two_views_are_named_all_the_same(make_network, save_unetr, caplog):
    path, _ = save_unetr((32, 32, 32), (32, 32, 32))
    with caplog.at_level(logging.WARNING):
        load_pretrained(make_network("UNETR", size=(48, 32, 32)), path, view={"roi_size": (48, 32, 32)})
    assert "roi_size: pretrained with [32, 32, 32], this config has [48, 32, 32]" in caplog.text


def test_networks_without_position_embeddings_ask_for_no_crop(make_network, network_name):
    source, target = make_network(network_name, seed=1), make_network(network_name, seed=2)
    for crop in (None, (64, 32, 32)):
        _, report = match(source.state_dict(), target, crop=crop)
        assert report.resized == []
        assert report.encoder_share == 1.0
