"""How a patch grid lies over a volume, and the conversions between the two.

Every other module uses these functions, so that divisibility, rounding and C order are decided in one place.
Shapes are ``(depth, height, width)`` in the volume's own axis order; sizes are in voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.utils.misc import ensure_tuple_rep
from torch import Tensor

Triple = tuple[int, int, int]
Size = int | Sequence[int]


def to_3tuple(size: Size, name: str = "size") -> Triple:
    """Return ``size`` as three positive ints; one int stands for a cube.

    Raises:
        ValueError: when it is not one or three positive whole numbers.
    """
    try:
        values = tuple(ensure_tuple_rep(size, 3))  # ValueError for another length than 1 and 3
        whole = int(values[0]), int(values[1]), int(values[2])
        if whole != values or min(whole) < 1:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {size!r}; allowed: one or three whole numbers from 1") from None
    return whole


def divide(whole: Size, part: Size, whole_name: str, part_name: str) -> Triple:
    """Return how often ``part`` fits into ``whole`` along each axis.

    Raises:
        ValueError: when an axis of ``whole`` is not a multiple of ``part``; names both sizes.
    """
    outer, inner = to_3tuple(whole, whole_name), to_3tuple(part, part_name)
    if any(o % i for o, i in zip(outer, inner, strict=True)):
        raise ValueError(f"{whole_name} {outer} is not a multiple of {part_name} {inner}")
    return outer[0] // inner[0], outer[1] // inner[1], outer[2] // inner[2]


def patch_grid(spatial: Sequence[int], patch_size: Size, name: str = "an image of size") -> Triple:
    """Return the number of patches along each axis of a volume of ``spatial`` voxels.

    Raises:
        ValueError: when an axis is not a multiple of the patch; names both sizes.
    """
    return divide(tuple(spatial), patch_size, name, "patch_size")


def patches_per_region(region_size: Size, patch_size: Size) -> Triple:
    """Return the number of patches along each axis of one region.

    Raises:
        ValueError: when the region is not a multiple of the patch; names both sizes.
    """
    return divide(region_size, patch_size, "region_size", "patch_size")


def region_grid(grid: Sequence[int], patches_per_region: Size) -> Triple:
    """Return the number of regions along each axis of a patch grid.

    Raises:
        ValueError: when the grid is not a multiple of the region; names both, in patches.
    """
    return divide(tuple(grid), patches_per_region, "the grid of patches", "the region, in patches,")


def masked_count(ratio: float, patches: int) -> int:
    """Return ``round(ratio * patches)``, the one rounding rule (Python's: halves go to the even number)."""
    return round(ratio * int(patches))


def flatten_grid(t: Tensor) -> Tensor:
    """Flatten ``(B, 1, gd, gh, gw)`` to ``(B, gd * gh * gw)`` in C order; the one function that does it.

    Raises:
        ValueError: when the shape is another.
    """
    check_grid(t, "grid")
    return t.reshape(t.shape[0], -1)


def check_grid(t: Tensor, name: str) -> None:
    """Raise unless ``t`` has the shape of a batch of 3D volumes with one channel.

    Raises:
        ValueError: with the name and the shape found.
    """
    if t.ndim != 5 or t.shape[1] != 1:
        raise ValueError(f"{name} must have shape (B, 1, depth, height, width), found {tuple(t.shape)}")


def mask_to_voxels(mask: Tensor, patch_size: Size) -> Tensor:
    """Spread each patch's value over its voxels: ``(B, 1, gd, gh, gw)`` to ``(B, 1, D, H, W)``, same dtype.

    Raises:
        ValueError: when ``mask`` is not ``(B, 1, gd, gh, gw)``.
    """
    check_grid(mask, "mask")
    for axis, size in enumerate(to_3tuple(patch_size, "patch_size"), start=2):
        mask = mask.repeat_interleave(size, dim=axis)
    return mask


def valid_patches(valid: Tensor, patch_size: Size) -> Tensor:
    """Return which patches hold a valid voxel: bool ``(B, 1, D, H, W)`` to bool ``(B, 1, gd, gh, gw)``.

    Raises:
        ValueError: when the shape is another, or not a multiple of the patch.
    """
    check_grid(valid, "valid")
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size), patch_grid(valid.shape[2:], patch_size)
    # axes: B, 1, gd, pd, gh, ph, gw, pw -> any over the voxels of a patch
    return valid.bool().reshape(valid.shape[0], 1, gd, pd, gh, ph, gw, pw).any(dim=7).any(dim=5).any(dim=3)


def patch_sums(t: Tensor, patch_size: Size) -> Tensor:
    """Sum within each patch: ``(B, C, D, H, W)`` to ``(B, C, gd, gh, gw)``; of bool, the count (long).

    Raises:
        ValueError: when an axis is not a multiple of the patch.
    """
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size, "patch_size"), patch_grid(t.shape[2:], patch_size)
    # axes: B, C, gd, pd, gh, ph, gw, pw -> the sum over the voxels of a patch
    return t.reshape(*t.shape[:2], gd, pd, gh, ph, gw, pw).sum(dim=(3, 5, 7))
