"""The random window: where it may lie, and that image, mask and validity are cut alike."""

from __future__ import annotations

import pytest
import torch

from custom_components.losses import CombinedLoss
from custom_components.masking import mask_to_voxels
from custom_components.pretext import HybridMIM

SHAPE, WINDOW, REGION, PATCH = (96, 64, 32), (32, 32, 32), 32, (16, 32, 8)


def numbered(batch=1):
    """An image whose every voxel says where it is."""
    size = SHAPE[0] * SHAPE[1] * SHAPE[2]
    return torch.arange(size, dtype=torch.float32).reshape(1, 1, *SHAPE).repeat(batch, 1, 1, 1, 1) / size


@pytest.fixture
def pretext(make_network):
    network = make_network("BasicUNet")
    return HybridMIM(network, PATCH, REGION, terms=("reconstruction",), window_size=WINDOW).train()


def test_windows_are_whole_regions_and_all_of_them_are_drawn(pretext):
    torch.manual_seed(0)
    drawn = {tuple(side.start for side in pretext.draw_window(SHAPE)) for _ in range(100)}
    assert drawn == {(d, h, 0) for d in (0, 32, 64) for h in (0, 32)}
    for window in (pretext.draw_window(SHAPE) for _ in range(20)):
        assert [side.stop - side.start for side in window] == list(WINDOW)


def test_the_same_seed_draws_the_same_windows(pretext):
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append([pretext.draw_window(SHAPE) for _ in range(8)])
    assert draws[0] == draws[1]


def test_image_mask_and_validity_are_cut_at_the_same_place(pretext):
    image = numbered(2)
    mask = torch.rand(2, 1, 6, 2, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    valid = torch.rand(2, 1, *SHAPE, generator=torch.Generator().manual_seed(2)) < 0.7
    masked = mask_to_voxels(mask, PATCH)
    starts = set()
    for seed in range(6):
        torch.manual_seed(seed)
        outputs = pretext(image, mask, valid)
        assert outputs["reconstruction"].shape == (2, 1, *WINDOW)
        where = (image[0, 0] == outputs["reconstruction_target"][0, 0, 0, 0, 0]).nonzero()[0].tolist()
        assert all(start % REGION == 0 for start in where)
        starts.add(tuple(where))
        cut = (slice(None), slice(None), *(slice(a, a + b) for a, b in zip(where, WINDOW, strict=True)))
        assert torch.equal(outputs["reconstruction_target"], image[cut])
        assert torch.equal(outputs["reconstruction_mask"], (masked & valid)[cut])
    assert len(starts) > 2


def test_the_windows_reconstruction_is_the_adapters_own_of_that_window(pretext):
    image, mask = numbered(), torch.zeros(1, 1, 6, 2, 4, dtype=torch.bool)
    mask[0, 0, ::2, 1, 1:3] = True
    pretext.drop.rate = 0.0
    torch.manual_seed(2)
    window = pretext.draw_window(SHAPE)
    torch.manual_seed(2)
    with torch.no_grad():
        found = pretext(image, mask)["reconstruction"]
        masked = mask_to_voxels(mask, PATCH)
        encoded = pretext.backbone.encode(image.masked_fill(masked, 0))
        assert torch.equal(found, pretext.backbone.decode(encoded, window))


def test_a_window_without_masked_voxels_gives_a_zero_that_keeps_the_graph(pretext):
    outputs = pretext(numbered(), torch.zeros(1, 1, 6, 2, 4, dtype=torch.bool))
    loss = CombinedLoss({"reconstruction": 1.0})(outputs)["loss"]
    loss.backward()
    assert loss == 0
    assert all(parameter.grad is not None for parameter in pretext.network.parameters())


def test_no_window_or_one_of_the_crops_size_decodes_everything(make_network):
    for size in (None, SHAPE):
        pretext = HybridMIM(make_network("BasicUNet"), terms=("reconstruction",), window_size=size).train()
        assert pretext.draw_window(SHAPE) is None
