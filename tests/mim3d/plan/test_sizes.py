"""Crop and batch of a plan."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mim3d.catalog import METHODS
from mim3d.plan.sizes import Request, choose_sizes, crop_size, crop_step

BIG = (300.0, 300.0, 300.0)
MM = (1.0, 1.0, 1.0)


def request(**changed: Any) -> Request:
    given = {"method": METHODS["hybridmim"], "network": "basic_unet", "channels": 1, "classes": 3, "small": False}
    return Request(**{**given, "gpu_memory": 24.0, "volumes": 100, "labelled": 50, **changed})


@pytest.mark.parametrize(
    ("shape", "spacing", "step", "expected"),
    [
        (BIG, MM, 16, (96, 96, 96)),
        ((36, 50, 35), MM, 16, (48, 64, 48)),  # a whole volume, padded
        ((512, 512, 30), (0.8, 0.8, 5.0), 16, (160, 160, 32)),
        ((512, 512, 400), (0.8, 0.8, 3.2), 16, (160, 160, 32)),
        (BIG, MM, 32, (96, 96, 96)),
        ((100, 100, 10), MM, 32, (128, 128, 32)),
        ((9, 12, 10), MM, 16, (16, 32, 16)),  # two cells of the bottleneck, for its norm
    ],
)
def test_crop_sides_are_about_equal_in_mm_and_not_longer_than_the_volume(
    shape: tuple[float, ...], spacing: tuple[float, ...], step: int, expected: tuple[int, ...]
) -> None:
    crop = crop_size(shape, spacing, step, 96**3)
    assert crop == expected
    assert all(side % step == 0 for side in crop)
    assert math.prod(crop) <= 1.5 * 96**3


@pytest.mark.parametrize(("network", "step"), [("basic_unet", 16), ("segresnet", 16), ("swin_unetr", 32)])
def test_crops_are_multiples_of_the_networks_stride_and_of_a_region(network: str, step: int) -> None:
    assert crop_step(request(network=network, small=True)) == step


def test_more_memory_gives_larger_crops_and_too_little_is_an_error() -> None:
    crops = [choose_sizes(BIG, MM, request(gpu_memory=gb)) for gb in (4, 12, 24, 80)]
    voxels = [math.prod(sizes.roi_size) * sizes.batch_size * sizes.num_samples for sizes in crops]
    assert voxels == sorted(set(voxels))
    assert crops[2].roi_size == (96, 96, 96)
    assert crops[2].batch_size * crops[2].num_samples == 4
    for sizes, gb in zip(crops, (4, 12, 24, 80), strict=True):
        assert sizes.pretraining.memory(sizes.batch_size * sizes.num_samples) <= 0.8 * gb * 1e9
        assert sizes.segmentation is not None
        assert sizes.segmentation.memory(sizes.seg_batch_size * sizes.seg_num_samples) <= 0.8 * gb * 1e9
    with pytest.raises(ValueError, match=r"crops of 32×32×32 voxels takes about .* --gpu_memory is 0.3 GB"):
        choose_sizes(BIG, MM, request(gpu_memory=0.3))


def test_a_crop_that_holds_the_volume_takes_more_volumes_in_place_of_crops() -> None:
    sizes = choose_sizes((36, 50, 35), MM, request())
    assert (sizes.batch_size, sizes.num_samples) == (4, 1)
    assert (sizes.seg_batch_size, sizes.seg_num_samples) == (4, 1)
    few = choose_sizes((36, 50, 35), MM, request(volumes=2, labelled=1))
    assert (few.batch_size, few.seg_batch_size) == (2, 1)


def test_the_small_form_has_crops_of_48_voxels_whatever_the_memory() -> None:
    sizes = choose_sizes(BIG, MM, request(small=True, gpu_memory=0.1))
    assert sizes.roi_size == (48, 48, 48)
    assert sizes.segmentation is not None
    without = choose_sizes(BIG, MM, request(small=True, classes=0))
    assert without.segmentation is None
