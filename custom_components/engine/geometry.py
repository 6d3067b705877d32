"""Do crop, patches, regions, window, channels and batch fit one network? Each check raises ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from custom_components.backbones import adapt
from custom_components.masking import (
    FILLS,
    MODES,
    check_ratio,
    check_two_level,
    patch_grid,
    patches_per_region,
    region_grid,
    triple,
)

Size = int | Sequence[int]


def check_masks(
    roi_size: Size,
    patch_size: Size,
    region_size: Size,
    mask_ratio: float,
    region_ratio: float | None,
    mask_mode: str,
    fill: str,
) -> None:
    """Check that patches tile the regions, regions the crop, and that the ratios give a mask.

    Raises:
        ValueError: naming the keys, what was found and what is allowed.
    """
    if mask_mode not in MODES:
        raise ValueError(f"mask_mode is {mask_mode!r}; allowed: {', '.join(MODES)}")
    if fill not in FILLS:
        raise ValueError(f"fill is {fill!r}; allowed: {', '.join(FILLS)}")
    check_ratio(mask_ratio, "mask_ratio")
    within = patches_per_region(region_size, patch_size)
    roi, region = triple(roi_size, "roi_size"), triple(region_size, "region_size")
    if any(side % part for side, part in zip(roi, region, strict=True)):
        raise ValueError(f"roi_size {roi} is not a multiple of region_size {region}")
    grid = patch_grid(roi, patch_size)
    region_grid(grid, within)
    if mask_mode == "two_level":
        if region_ratio is None:
            raise ValueError("region_ratio is missing; mask_mode 'two_level' needs it, in [0, 1]")
        check_two_level(grid, mask_ratio, region_ratio, within)


def check_input(network: nn.Module, roi_size: Size, in_channels: int) -> None:
    """Check that a network takes crops of ``roi_size`` with ``in_channels``.

    Raises:
        ValueError: naming what does not fit; also for a network that ``backbones`` does not know.
    """
    backbone = adapt(network)
    backbone.check_crop("roi_size", triple(roi_size, "roi_size"))
    if backbone.in_channels != in_channels:
        raise ValueError(f"the network takes {backbone.in_channels} channels, in_channels is {in_channels}")


def check_seg_channels(network: nn.Module, num_classes: int) -> None:
    """Check that a network writes one channel per class.

    Raises:
        ValueError: naming both numbers.
    """
    found = adapt(network).out_channels
    if found != num_classes:
        raise ValueError(
            f"the network has {found} output channels, num_classes (with background) is {num_classes}"
        )


def check_regions(network: nn.Module, roi_size: Size, region_size: Size, window_size: Size | None) -> None:
    """Check that regions lie on bottleneck cells, and that the decoded window is made of regions.

    Raises:
        ValueError: naming what does not fit.
    """
    backbone = adapt(network)
    roi, region = triple(roi_size, "roi_size"), triple(region_size, "region_size")
    backbone.check_size("region_size", region)
    if backbone.out_channels != backbone.in_channels:
        raise ValueError(
            f"the pretraining network has {backbone.out_channels} output channels; it reconstructs its"
            f" {backbone.in_channels} input channels"
        )
    if window_size is None:
        return
    window = triple(window_size, "window_size")
    fits = all(0 < w <= side and w % r == 0 for w, side, r in zip(window, roi, region, strict=True))
    if not fits:
        raise ValueError(
            f"window_size is {window}; allowed: multiples of region_size {region} up to roi_size {roi}"
        )
    cells = prod(side // backbone.stride for side in window)
    if cells < backbone.min_cells:
        raise ValueError(
            f"window_size {window} holds {cells} bottleneck cell(s) of {type(network).__name__};"
            f" it needs {backbone.min_cells}"
        )


def check_batches(batch_size: int, ranks: int, cases: int) -> None:
    """Check that every rank's part of the training list fills a batch, for the last one is dropped.

    Args:
        batch_size: volumes in one rank's batch.
        ranks: ranks that share the list, in parts of one length.
        cases: volumes in the training list.

    Raises:
        ValueError: saying which number is too small.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; allowed: whole numbers from 1")
    if cases < ranks:
        raise ValueError(f"{cases} training case(s) cannot be shared among {ranks} ranks; start fewer")
    if -(-cases // ranks) < batch_size:
        raise ValueError(f"{cases} training case(s) on {ranks} rank(s) fill no batch of batch_size {batch_size}")


def check_contrast(batch_size: int, ranks: int, cases: int) -> None:
    """Check that every step of the contrast term has a negative: items of another volume.

    Args:
        batch_size: volumes in one rank's batch.
        ranks: ranks whose items are gathered.
        cases: volumes in the training list.

    Raises:
        ValueError: saying which number is too small.
    """
    volumes = batch_size * ranks
    if volumes < 2:
        raise ValueError(
            f"the contrast loss needs 2 volumes in a batch, found batch_size {batch_size} on {ranks} rank(s);"
            " raise batch_size or set loss_weights::contrast to 0"
        )
    if cases < volumes:
        raise ValueError(f"{cases} training case(s) fill no batch of {volumes} volumes (batch_size x ranks)")
