"""One known block, masked by the transform, followed through network and loss down to its voxels."""

from __future__ import annotations

import pytest
import torch

from custom_components.losses import CombinedLoss
from custom_components.masking import AddValidMaskd, MaskSampler, RandPatchMaskd
from custom_components.pretext import HybridMIM

SHAPE, PATCH, REGION = (96, 64, 32), (16, 32, 8), 32  # grid 6 x 2 x 4, regions 3 x 2 x 1 of 2 x 1 x 4 patches
BLOCKS = [(0, 0, 0), (3, 1, 2), (5, 0, 3), (2, 1, 0)]


def block_voxels(block):
    """The block's voxels, by multiplication: nothing of the package is asked."""
    voxels = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    (i, j, k), (pd, ph, pw) = block, PATCH
    voxels[:, :, i * pd : (i + 1) * pd, j * ph : (j + 1) * ph, k * pw : (k + 1) * pw] = True
    return voxels


def mask_of(block):
    """The mask that the transform draws where this block is all there is to mask."""
    bright = torch.where(block_voxels(block)[0], 1.0, -1.0)
    sample = AddValidMaskd("image", background_below=0)({"image": bright})
    return RandPatchMaskd("image", MaskSampler("uniform", 1.0, PATCH))(sample)["mask"][None]


@pytest.fixture
def pretext(make_network):
    return HybridMIM(make_network("BasicUNet"), PATCH, REGION, contrast_features=4).eval()


@pytest.fixture
def image():
    return torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(1))


def loss_of(outputs):
    return CombinedLoss({"reconstruction": 1.0})(outputs)["loss"]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_block_is_masked_at_its_place_in_the_grid_and_in_voxels(pretext, image, block):
    mask = mask_of(block)
    assert mask.shape == (1, 1, 6, 2, 4)
    assert mask.sum() == 1
    assert mask[0, 0][block]
    outputs = pretext(image, mask)
    assert torch.equal(outputs["reconstruction_mask"], block_voxels(block))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_loss_sees_the_target_in_masked_voxels_only(pretext, image, block):
    outputs = pretext(image, mask_of(block))
    masked = block_voxels(block)
    before = loss_of(outputs)
    elsewhere = dict(outputs, reconstruction_target=torch.where(masked, image, image + 7))
    assert torch.equal(loss_of(elsewhere), before)
    # one voxel at each corner of the block, and its outer neighbours
    places = masked[0, 0].nonzero()
    for corner in (places[0], places[-1]):
        target = image.clone()
        target[(0, 0, *corner)] += 7
        assert loss_of(dict(outputs, reconstruction_target=target)) != before
    for outside in (places[0] - 1, places[-1] + 1):
        if all(0 <= place < side for place, side in zip(outside.tolist(), SHAPE, strict=True)):
            target = image.clone()
            target[(0, 0, *outside)] += 7
            assert torch.equal(loss_of(dict(outputs, reconstruction_target=target)), before)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_masked_does_not_reach_the_output(pretext, image, block):
    masked, mask = block_voxels(block), mask_of(block)
    changed = torch.where(masked, torch.full_like(image, 100.0), image)
    visible = image.clone()
    visible[(0, 0, *(~masked[0, 0]).nonzero()[0])] += 100
    with torch.no_grad():
        one, two, other = (pretext(x, mask) for x in (image, changed, visible))
    for name in ("reconstruction", "count_logits", "position_logits"):
        assert torch.equal(one[name], two[name])
        assert not torch.equal(one[name], other[name])
    assert not torch.equal(one["reconstruction_target"], two["reconstruction_target"])


@pytest.mark.parametrize("block", BLOCKS)
def test_the_prediction_gets_gradient_exactly_where_it_is_masked_and_valid(pretext, image, block):
    masked = block_voxels(block)
    valid = torch.ones_like(masked)
    first = masked[0, 0].nonzero()[0]
    valid[0, 0, first[0] : first[0] + 5] = False  # cuts five planes off the block
    outputs = pretext(image, mask_of(block), valid)
    outputs["reconstruction"].retain_grad()
    loss_of(outputs).backward()
    assert torch.equal(outputs["reconstruction"].grad != 0, masked & valid)
    assert (masked & valid).sum() == masked.sum() * 11 // 16


@pytest.mark.parametrize("block", BLOCKS)
def test_the_region_targets_name_the_block(pretext, image, block):
    outputs = pretext(image, mask_of(block))
    i, j, k = block
    region = (i // 2) * 2 + j  # regions 3 x 2 x 1, C order
    inside = (i % 2) * 4 + k  # patches 2 x 1 x 4 of a region, C order
    expected = torch.zeros(1, 6, 8)
    expected[0, region, inside] = 1
    assert torch.equal(outputs["position_target"].float(), expected)
    assert torch.equal(outputs["count_target"], expected.sum(-1).long())


@pytest.mark.parametrize("block", BLOCKS)
def test_the_region_logits_read_the_cells_under_the_region(make_network, image, block):
    """The head's input is the mean of the bottleneck cells under the block's region."""
    pretext = HybridMIM(make_network("BasicUNet"), PATCH, REGION, terms=("position",)).eval()
    seen = []
    pretext.position_head.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    encode = pretext.backbone.encode
    pretext.backbone.encode = lambda x, drop: seen.append(encode(x, drop).bottleneck) or encode(x, drop)
    with torch.no_grad():
        pretext(image, mask_of(block))
    bottleneck, regions = seen
    i, j, _ = block
    d, h = i // 2, j
    cells = bottleneck[0, :, 2 * d : 2 * d + 2, 2 * h : 2 * h + 2, 0:2]
    torch.testing.assert_close(regions[0, d * 2 + h], cells.mean((1, 2, 3)))
