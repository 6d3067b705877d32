from __future__ import annotations

import pytest
import torch

from custom_components.masking import mask_to_voxels
from custom_components.pretext import SimMIM

SIZE = (64, 32, 32)


def embedded(pretext, image, mask):
    """What the first block sees: tokens as cells ``(B, F, d, h, w)``."""
    return pretext.backbone.encode(
        image,
        replace=lambda cells: torch.where(mask_to_voxels(mask, 16 // pretext.token_size), pretext.token, cells),
    ).stages[pretext.backbone.stages[0]]


@pytest.mark.parametrize("name", ["UNETR", "UNETRPatch8", "SwinUNETR"])
def test_visible_tokens_are_untouched_and_masked_ones_are_the_token_at_its_place(name, make_network):
    pretext = SimMIM(make_network(name), 16).eval()
    torch.manual_seed(1)
    image = torch.randn(2, 1, *SIZE)
    mask = torch.rand(2, 1, 4, 2, 2) > 0.5
    with torch.no_grad():
        plain = pretext.backbone.encode(image).stages[pretext.backbone.stages[0]]
        found = embedded(pretext, image, mask)
        zeroed = embedded(pretext, torch.zeros_like(image), torch.ones_like(mask))
    masked = mask_to_voxels(mask, 16 // pretext.token_size).expand_as(found)
    assert torch.equal(found[~masked], plain[~masked])
    assert torch.equal(found[masked], zeroed[masked]), "the token and its position, whatever the image"


@pytest.mark.parametrize("name", ["UNETR", "SwinUNETR"])
def test_each_bottleneck_cell_reconstructs_its_own_voxels(name, make_network):
    pretext = SimMIM(make_network(name), 16).eval()
    image, mask = torch.randn(1, 1, *SIZE), torch.zeros(1, 1, 4, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = True
    stride = pretext.backbone.stride

    def replace(cells):
        return torch.where(mask_to_voxels(mask, 16 // pretext.token_size), pretext.token, cells)

    with torch.no_grad():
        found = pretext(image, mask)["reconstruction"]
        cells = pretext.backbone.encode(image, replace=replace).bottleneck
        for d in range(SIZE[0] // stride):
            for h in range(SIZE[1] // stride):
                for w in range(SIZE[2] // stride):
                    voxels = pretext.head.linear(cells[0, :, d, h, w]).reshape(stride, stride, stride)
                    start = (d * stride, h * stride, w * stride)
                    cut = tuple(slice(a, a + stride) for a in start)
                    torch.testing.assert_close(found[(0, 0, *cut)], voxels, rtol=1e-4, atol=1e-5)
