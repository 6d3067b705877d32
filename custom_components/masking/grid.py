"""How a patch grid lies over a volume, and the few conversions between the two.

Every other module goes through these functions, so that divisibility, rounding and C order are decided in
one place. Shapes are ``(depth, height, width)`` in the volume's own axis order; sizes are in voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.utils.misc import ensure_tuple_rep
from torch import Tensor

Triple = tuple[int, int, int]
Ratio = float | Sequence[float]
"""A share of the patches: a number, or a pair [low, high] that one is drawn from."""


def to_3tuple(size: int | Sequence[int], name: str = "size") -> Triple:
    """Return ``size`` as three positive ints, an int standing for a cube.

    Raises:
        ValueError: when it is not one or three positive whole numbers.
    """
    values = tuple(ensure_tuple_rep(size, 3))  # raises ValueError for any length other than 1 and 3
    if any(int(v) != v or v < 1 for v in values):
        raise ValueError(f"{name} must be one or three positive whole numbers, found {size}.")
    return int(values[0]), int(values[1]), int(values[2])


def _divide(whole: Triple, part: Triple, message: str) -> Triple:
    if any(w % p for w, p in zip(whole, part, strict=True)):
        raise ValueError(message)
    return whole[0] // part[0], whole[1] // part[1], whole[2] // part[2]


def patch_grid(spatial: Sequence[int], patch_size: int | Sequence[int]) -> Triple:
    """Return the number of patches along each axis of a volume of ``spatial`` voxels.

    Raises:
        ValueError: when an axis is not a multiple of the patch; names both sizes.
    """
    size, patch = to_3tuple(tuple(spatial), "spatial size"), to_3tuple(patch_size, "patch_size")
    return _divide(size, patch, f"a volume of {size} voxels is not a multiple of patch_size {patch}.")


def patches_per_region(region_size: int | Sequence[int], patch_size: int | Sequence[int]) -> Triple:
    """Return the number of patches along each axis of one region.

    Raises:
        ValueError: when the region is not a multiple of the patch; names both sizes.
    """
    region, patch = to_3tuple(region_size, "region_size"), to_3tuple(patch_size, "patch_size")
    return _divide(region, patch, f"region_size {region} is not a multiple of patch_size {patch}.")


def patches_per_block(block_size: int | Sequence[int], patch_size: int | Sequence[int]) -> Triple:
    """Return the number of patches along each axis of the largest block that is masked as a whole.

    Raises:
        ValueError: when the block is not a multiple of the patch; names both sizes.
    """
    block, patch = to_3tuple(block_size, "block_size"), to_3tuple(patch_size, "patch_size")
    return _divide(block, patch, f"block_size {block} is not a multiple of patch_size {patch}.")


def region_grid(grid: Sequence[int], patches_per_region: int | Sequence[int]) -> Triple:
    """Return the number of regions along each axis of a patch grid.

    Raises:
        ValueError: when the grid is not a multiple of the region; names both, in patches.
    """
    whole, part = to_3tuple(tuple(grid), "grid"), to_3tuple(patches_per_region, "patches_per_region")
    return _divide(whole, part, f"a grid of {whole} patches is not a multiple of a region of {part} patches.")


def masked_count(ratio: float, patches: int) -> int:
    """Return ``round(ratio * patches)``, the one rounding rule (Python's: halves go to the even number).

    Raises:
        ValueError: when the ratio lies outside [0, 1].
    """
    check_ratio(ratio)
    return round(ratio * int(patches))


def check_ratio(ratio: float, name: str = "ratio") -> None:
    """Refuse what is not a number in [0, 1].

    Raises:
        ValueError: with the name, what was found and what is allowed.
    """
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise ValueError(f"{name} must be a number in [0, 1], found {ratio!r}.")


def ratio_range(ratio: Ratio, name: str = "mask_ratio") -> tuple[float, float]:
    """Return the lowest and the highest value of a ratio; a number is both.

    Raises:
        ValueError: with the name, what was found and what is allowed.
    """
    if not isinstance(ratio, (list, tuple)):
        check_ratio(ratio, name)  # type: ignore[arg-type]  # other sequences are refused there
        return ratio, ratio  # type: ignore[return-value]
    if len(ratio) != 2:
        raise ValueError(f"{name} must be a number in [0, 1] or a pair [low, high] of them, found {ratio!r}.")
    for end, which in zip(ratio, ("low", "high"), strict=True):
        check_ratio(end, f"{name} [low, high]: {which}")
    if ratio[0] > ratio[1]:
        raise ValueError(f"{name} [low, high] must have low <= high, found {ratio!r}.")
    return ratio[0], ratio[1]


def flatten_grid(t: Tensor) -> Tensor:
    """Flatten ``(B, 1, gd, gh, gw)`` to ``(B, gd * gh * gw)`` in C order; the one function that does it.

    Raises:
        ValueError: when the shape is another.
    """
    check_grid(t, "grid")
    return t.reshape(t.shape[0], -1)


def check_grid(t: Tensor, name: str) -> None:
    """Refuse what has not the shape of a batch with one channel in 3D.

    Raises:
        ValueError: with the name and the shape found.
    """
    if t.ndim != 5 or t.shape[1] != 1:
        raise ValueError(f"{name} must have shape (B, 1, depth, height, width), found {tuple(t.shape)}.")


def mask_to_voxels(mask: Tensor, patch_size: int | Sequence[int]) -> Tensor:
    """Spread each patch's value over its voxels: ``(B, 1, gd, gh, gw)`` to ``(B, 1, D, H, W)``, same dtype.

    Raises:
        ValueError: when ``mask`` is not ``(B, 1, gd, gh, gw)``.
    """
    check_grid(mask, "mask")
    for axis, size in enumerate(to_3tuple(patch_size, "patch_size"), start=2):
        mask = mask.repeat_interleave(size, dim=axis)
    return mask


def valid_patches(valid: Tensor, patch_size: int | Sequence[int]) -> Tensor:
    """Say which patches hold a valid voxel: bool ``(B, 1, D, H, W)`` to bool ``(B, 1, gd, gh, gw)``.

    Raises:
        ValueError: when the shape is another, or not a multiple of the patch.
    """
    check_grid(valid, "valid")
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size), patch_grid(valid.shape[2:], patch_size)
    # axes: B, 1, gd, pd, gh, ph, gw, pw -> any over the voxels of a patch
    return valid.bool().reshape(valid.shape[0], 1, gd, pd, gh, ph, gw, pw).any(dim=7).any(dim=5).any(dim=3)


def patch_sums(t: Tensor, patch_size: int | Sequence[int]) -> Tensor:
    """Sum within each patch: ``(B, C, D, H, W)`` to ``(B, C, gd, gh, gw)``; of bool, the count (long).

    Raises:
        ValueError: when an axis is not a multiple of the patch.
    """
    (pd, ph, pw), (gd, gh, gw) = to_3tuple(patch_size, "patch_size"), patch_grid(t.shape[2:], patch_size)
    # axes: B, C, gd, pd, gh, ph, gw, pw -> the sum over the voxels of a patch
    return t.reshape(*t.shape[:2], gd, pd, gh, ph, gw, pw).sum(dim=(3, 5, 7))
