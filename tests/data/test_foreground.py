"""Foreground before scaling: the same voxels as the crop chooses after it, for every view of the bundles."""

from __future__ import annotations

import operator
from functools import partial

import numpy as np
import pytest
import torch
from monai.transforms import CropForegroundd, Identityd, NormalizeIntensityd, ScaleIntensityRanged

from custom_components.data import stored_foreground
from custom_components.data.foreground import foreground_box

WINDOW = ScaleIntensityRanged("image", -175, 250, 0, 1, clip=True)
NONZERO = NormalizeIntensityd("image", nonzero=True, channel_wise=True)
POSITIVE = CropForegroundd("image", source_key="image")
NOT_ZERO = CropForegroundd("image", source_key="image", select_fn=partial(operator.ne, 0))


@pytest.mark.parametrize(("intensity", "crop"), [(WINDOW, POSITIVE), (NONZERO, NOT_ZERO)])
def test_the_voxels_are_those_that_the_crop_chooses_after_scaling(intensity, crop) -> None:
    image = torch.randint(-180, -170, (2, 9, 8, 7), generator=torch.Generator().manual_seed(0)).float()
    image[:, :4] = 0
    image[0, 8, 7, 6] = float(np.nextafter(np.float32(-175), np.float32(0)))
    chosen = crop.cropper.select_fn(intensity({"image": image.clone()})["image"])
    found = stored_foreground(intensity, crop)(image)
    assert torch.equal(found, chosen)
    assert 0 < found.sum() < found.numel()


@pytest.mark.parametrize(
    ("intensity", "crop"),
    [
        (WINDOW, Identityd("image")),  # no crop
        (WINDOW, NOT_ZERO),
        (NONZERO, POSITIVE),
        (NormalizeIntensityd("image"), NOT_ZERO),  # the mean becomes 0
        (ScaleIntensityRanged("image", -175, 250, -1, 1), POSITIVE),
        (WINDOW, CropForegroundd("image", source_key="image", margin=2)),
        (WINDOW, CropForegroundd("image", source_key="image", channel_indices=[1])),
    ],
)
def test_another_pair_of_transforms_is_not_guessed(intensity, crop) -> None:
    assert stored_foreground(intensity, crop) is None


def test_the_box_is_that_of_a_slow_search() -> None:
    rng = np.random.RandomState(0)
    for _ in range(20):
        foreground = rng.rand(2, 5, 6, 7) > 0.99
        places = np.argwhere(foreground)[:, 1:]
        expected = [(a, b + 1) for a, b in zip(places.min(0), places.max(0), strict=True)] if len(places) else None
        assert foreground_box(foreground) == expected
