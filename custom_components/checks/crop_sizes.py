"""Do crop, patches, regions, window, channels and batch fit one network? Each check raises ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from custom_components.backbones import adapt
from custom_components.masking import (
    FILLS,
    MODES,
    MaskSampler,
    Ratio,
    patch_grid,
    patches_per_region,
    ratio_range,
    to_3tuple,
)

Size = int | Sequence[int]

_NEEDED = {
    "two_level": {"region_size": "in voxels", "region_ratio": "in [0, 1]"},
    "block": {"block_size": "in voxels"},
    "foreground": {"foreground_weight": "a number above 0"},
}
"""What a way to mask needs, and what is allowed."""


def check_masks(
    roi_size: Size,
    patch_size: Size,
    region_size: Size | None = None,
    mask_ratio: Ratio = 0.4,
    region_ratio: float | None = None,
    mask_mode: str = "two_level",
    fill: str = "zero",
    block_size: Size | None = None,
    foreground_weight: float | None = None,
    foreground_above: float = 0.0,
) -> None:
    """Check that patches tile the regions, regions the crop, and that the mode's parameters give masks.

    What another mode needs is not looked at, but for regions: pretext tasks have them under every mask.

    Args:
        roi_size: voxels of a crop.
        patch_size: voxels of a patch.
        region_size: voxels of a region; None: there are none.
        mask_ratio: share of patches masked, above 0 up to 1, or a pair [low, high].
        region_ratio: share of regions touched, in [0, 1]; used by "two_level".
        mask_mode: how masks are drawn.
        fill: what masked voxels become.
        block_size: voxels of the largest block; used by "block".
        foreground_weight: preference for foreground, above 0; used by "foreground".
        foreground_above: intensity over which a voxel is foreground; used by "foreground".

    Raises:
        ValueError: naming the keys, what was found and what is allowed.
    """
    if mask_mode not in MODES:
        raise ValueError(f"mask_mode is {mask_mode!r}; allowed: {', '.join(MODES)}")
    if fill not in FILLS:
        raise ValueError(f"fill is {fill!r}; allowed: {', '.join(FILLS)}")
    if ratio_range(mask_ratio, "mask_ratio")[1] == 0:
        raise ValueError(f"mask_ratio is {mask_ratio!r}: nothing would be hidden; allowed: above 0, up to 1")
    roi = to_3tuple(roi_size, "roi_size")
    if region_size is not None:
        _check_tiles(roi, region_size, patch_size)
    patch = to_3tuple(patch_size, "patch_size")
    if any(side % part for side, part in zip(roi, patch, strict=True)):
        raise ValueError(f"roi_size {roi} is not a multiple of patch_size {patch}")
    grid = patch_grid(roi, patch)
    parameters = {
        "region_size": region_size,
        "region_ratio": region_ratio,
        "block_size": block_size,
        "foreground_weight": foreground_weight,
    }
    for key, allowed in _NEEDED.get(mask_mode, {}).items():
        if parameters[key] is None:
            raise ValueError(f"{key} is missing; mask_mode {mask_mode!r} needs it, {allowed}")
    sizes = (region_size, region_ratio, block_size)
    MaskSampler(mask_mode, mask_ratio, patch_size, *sizes, foreground_above, foreground_weight).check_grid(grid)
    if mask_mode == "block" and block_size is not None:
        block = to_3tuple(block_size, "block_size")
        if any(side > whole for side, whole in zip(block, roi, strict=True)):
            raise ValueError(f"block_size {block} is larger than roi_size {roi}")


def _check_tiles(roi: tuple[int, int, int], region_size: Size, patch_size: Size) -> None:
    """Refuse regions that patches do not tile, and a crop that regions do not tile."""
    patches_per_region(region_size, patch_size)
    region = to_3tuple(region_size, "region_size")
    if any(side % part for side, part in zip(roi, region, strict=True)):
        raise ValueError(f"roi_size {roi} is not a multiple of region_size {region}")


def check_input(network: nn.Module, roi_size: Size, in_channels: int) -> None:
    """Check that a network takes crops of ``roi_size`` with ``in_channels``.

    Raises:
        ValueError: naming what does not fit; also for a network that ``backbones`` does not know.
    """
    backbone = adapt(network)
    backbone.check_crop("roi_size", to_3tuple(roi_size, "roi_size"))
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
    roi, region = to_3tuple(roi_size, "roi_size"), to_3tuple(region_size, "region_size")
    backbone.check_size("region_size", region)
    if backbone.out_channels != backbone.in_channels:
        raise ValueError(
            f"the pretraining network has {backbone.out_channels} output channels; it reconstructs its"
            f" {backbone.in_channels} input channels"
        )
    if window_size is None:
        return
    window = to_3tuple(window_size, "window_size")
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


def check_validated_contrast(measured: Sequence[str], cases: int) -> None:
    """Check that a validation which measures contrast has a negative.

    Args:
        measured: what a validation measures.
        cases: volumes that it sees.

    Raises:
        ValueError: saying how many there are.
    """
    if "contrast" in measured and cases < 2:
        raise ValueError(f"{cases} validation case(s); a contrast needs 2 volumes: raise holdout, or list more")
