"""Decisions on masks: patch, region and ratio, from the sizes of the crop and of the structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mim3d.catalog import Method
from mim3d.plan.bundle_keys import shipped
from mim3d.plan.cost import Work
from mim3d.plan.decisions import PRETRAIN, Decision

_FEWEST_PATCHES = 4  # on the crop's short side
_SMALLEST = 4  # voxels of a patch of a network without tokens
_THINNEST = 2  # voxels of a patch along an axis with thick slices
_LOWER_RATIO, _LOWER_RANGE = 0.5, [0.2, 0.5]
_BLOCK = 48  # voxels, as shipped


def decide_masks(
    method: Method,
    network_keys: dict[str, Any],
    own: Work,
    roi_size: Sequence[int],
    spacing: Sequence[float],
    diameter: float | None,
) -> list[Decision]:
    """Decide patch, region, block and ratio; none for a method without masks.

    Args:
        method: the pretraining method.
        network_keys: keys that the network's layer brings; they replace those of the method.
        own: of the network.
        roi_size: voxels of a crop.
        spacing: mm.
        diameter: of the median structure in mm; None: unknown.
    """
    keys = {**shipped(method.bundle), **network_keys}
    if "patch_size" not in keys:
        return []
    default = int(keys["patch_size"][0])
    patch, too_large = patch_size(default, own.token, roi_size, spacing, diameter)
    why = _patch_reason(method, default, own.token, roi_size, diameter)
    made = [Decision("patch_size", list(patch), why, PRETRAIN)]
    if "region_size" in keys:
        region = [own.stride * -(-2 * side // own.stride) for side in patch]
        about = f"At least two patches per side, and a multiple of the network's stride ({own.stride} voxels)."
        made.append(Decision("region_size", region, about, PRETRAIN))
    block = [max(side, side * (min(_BLOCK, roi) // side)) for side, roi in zip(patch, roi_size, strict=True)]
    about = "Read by mask_mode block: not larger than the crop."
    made.append(Decision("block_size", block, about, PRETRAIN, shown=False))
    if too_large:
        why = "Lower than the method's default: a patch hides a whole structure, so more around it stays visible."
        lower = _LOWER_RANGE if isinstance(keys["mask_ratio"], list) else _LOWER_RATIO
        return [*made, Decision("mask_ratio", lower, why, PRETRAIN)]
    why = "The method's default: structures are larger than a patch, so parts of them stay visible."
    return [
        *made,
        Decision("mask_ratio", keys["mask_ratio"], why if diameter else "The method's default.", PRETRAIN),
    ]


def _patch_reason(
    method: Method, default: int, token: int, roi_size: Sequence[int], diameter: float | None
) -> str:
    crop = "×".join(map(str, roi_size))
    structure = f"the median structure is {diameter:.0f} mm wide" if diameter else "no label shows structures"
    return (
        f"{method.title}'s default is {default}³ voxels; the crop has {crop}, and {structure}. The default is"
        f" halved until the crop's short side has {_FEWEST_PATCHES} patches and a patch is no larger than the"
        f" structure, down to {max(token, _SMALLEST)} voxels."
    )


def patch_size(
    default: int, token: int, roi_size: Sequence[int], spacing: Sequence[float], diameter: float | None
) -> tuple[tuple[int, int, int], bool]:
    """Return the voxels of a patch, and whether it stays larger than the median structure.

    Args:
        default: the method's patch.
        token: voxels of the network's tokens; a patch is a multiple of it.
        roi_size: voxels of a crop.
        spacing: mm.
        diameter: of the median structure in mm; None: unknown.
    """
    smallest = max(token, _SMALLEST)
    fine = min(spacing)
    wide = diameter / fine if diameter else float("inf")  # voxels of the structure along the finest axis
    side = default
    while side > smallest and (side * _FEWEST_PATCHES > min(roi_size) or side > wide):
        side //= 2
    patch = []
    for length, roi in zip(spacing, roi_size, strict=True):
        own = side
        # Along thick slices a cube of voxels is long in mm.
        while own // 2 >= max(token, _THINNEST) and own * length > 2 * side * fine:
            own //= 2
        patch.append(min(own, roi))
    return (patch[0], patch[1], patch[2]), side > wide
