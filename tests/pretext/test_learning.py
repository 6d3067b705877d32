"""Masked methods learn to continue what they see: planes of random slope, new ones at every step."""

from __future__ import annotations

from math import prod

import pytest
import torch

from custom_components.backbones import UNETRPatch8
from custom_components.losses import CombinedLoss
from custom_components.pretext import MAE, SimMIM

pytestmark = pytest.mark.slow

SIZE, GRID, BATCH, STEPS = (24, 32, 24), (3, 4, 3), 8, 400
AXES = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, side) for side in SIZE], indexing="ij"))


def planes(generator):
    """Images ``(B, 1, D, H, W)`` whose intensity rises along a direction of their own, 2 in 3 patches masked."""
    slopes, offsets = (
        torch.randn(BATCH, 3, generator=generator),
        torch.randn(BATCH, 1, 1, 1, 1, generator=generator),
    )
    images = torch.einsum("bi,idhw->bdhw", slopes, AXES)[:, None] + 0.5 * offsets
    patches = prod(GRID)
    order = torch.rand(BATCH, patches, generator=generator).argsort(dim=1)
    return images, (order < 2 * patches // 3).view(BATCH, 1, *GRID)


def mean_fill(images, masks):
    """Error of filling the masked voxels with the mean of the visible ones of the same image."""
    masked = masks.repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
    errors = [(image[where] - image[~where].mean()).abs() for image, where in zip(images, masked, strict=True)]
    return float(torch.cat(errors).mean())


@pytest.mark.parametrize("method", [MAE, SimMIM])
def test_masked_parts_are_told_from_visible_ones(method):
    torch.manual_seed(0)
    network = UNETRPatch8(1, 1, SIZE, feature_size=4, hidden_size=96, mlp_dim=192, num_heads=3)
    small = {"decoder_width": 96, "decoder_heads": 3} if method is MAE else {}
    pretext, loss = method(network, 8, **small), CombinedLoss({"reconstruction": 1.0}, reconstruction="l1")
    optimizer = torch.optim.AdamW([p for p in pretext.parameters() if p.requires_grad], 1e-3)
    generator, errors, fills = torch.Generator().manual_seed(0), [], []
    for step in range(STEPS):
        images, masks = planes(generator)
        error = loss(pretext(images, masks))["loss"]
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        if step >= STEPS - 50:
            errors.append(error.item())
            fills.append(mean_fill(images, masks))
    assert sum(errors) < 0.6 * sum(fills)
