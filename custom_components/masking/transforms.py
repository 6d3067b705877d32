"""Dictionary transforms that draw masks. The mask leaves under its own key; the image is not touched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform

from custom_components.masking.draw import BoolGrid, draw_two_level, draw_uniform
from custom_components.masking.grid import check_ratio, patches_per_region, triple
from custom_components.masking.valid import read_valid

MODES = ("two_level", "uniform")
"""Ways to draw that :class:`RandPatchMaskd` and :class:`FixedPatchMaskd` know."""


class RandPatchMaskd(RandomizableTransform, MapTransform):
    """Draw a mask of patches: bool ``(1, gd, gh, gw)``, True = masked.

    Exactly ``round(mask_ratio * valid patches)`` are masked in every sample (Python's ``round``), none of
    them without a valid voxel. ``data[valid_key]``, ``(1, D, H, W)``, becomes bool, or is added as all True;
    a value over 0.5 counts. Mask and valid leave as plain tensors. A bare transform is seeded by
    ``set_random_state``.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; only their shape is read.
        mask_ratio: share of the valid patches to mask, in [0, 1]; 0 warns.
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region; needed by "two_level".
        region_ratio: share of the regions that hold the masked patches, in [0, 1]; needed by "two_level".
        mode: "two_level" (HybridMIM, arXiv 2303.10333) or "uniform".
        mask_key: where the mask goes.
        valid_key: where the voxels that count are read and written.
        allow_missing_keys: whether keys that are absent are passed over.

    Raises:
        ValueError: for ratios outside [0, 1] or, once the grid is known, a pair that is infeasible; for sizes
            that do not divide; for images or valid of another shape; for an unknown mode.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_ratio: float = 0.4,
        patch_size: int | Sequence[int] = 16,
        region_size: int | Sequence[int] | None = None,
        region_ratio: float | None = None,
        mode: str = "two_level",
        mask_key: str = "mask",
        valid_key: str = "valid",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.draw = make_draw(mask_ratio, patch_size, region_size, region_ratio, mode)
        self.patch_size = triple(patch_size, "patch_size")
        self.mask_key, self.valid_key = mask_key, valid_key
        self._mask: BoolGrid | None = None

    def randomize(self, data: BoolGrid) -> None:
        """Draw for the valid grid ``data``, bool ``(gd, gh, gw)``, from ``self.R``."""
        self._mask = self.draw(data, self.R)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set."""
        out = dict(data)
        keys = list(self.key_iterator(out))
        if keys:
            valid, valid_grid = read_valid(out, keys, self.valid_key, self.patch_size)
            self.randomize(valid_grid)
            out[self.mask_key], out[self.valid_key] = torch.from_numpy(self._mask)[None], valid
        return out


class FixedPatchMaskd(MapTransform):
    """Like :class:`RandPatchMaskd`, but the draw depends on ``(seed, data[id_key])`` alone.

    For validation: each volume has the same mask in every epoch, worker, rank and run.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; only their shape is read.
        mask_ratio: share of the valid patches to mask, in [0, 1]; 0 warns.
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region; needed by "two_level".
        region_ratio: share of the regions that hold the masked patches, in [0, 1]; needed by "two_level".
        mode: "two_level" or "uniform".
        mask_key: where the mask goes.
        valid_key: where the voxels that count are read and written.
        allow_missing_keys: whether keys that are absent are passed over.
        seed: a whole number from 0.
        id_key: where the volume's number is, a whole number from 0.

    Raises:
        ValueError: as RandPatchMaskd, and when seed or id is not a whole number from 0.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_ratio: float = 0.4,
        patch_size: int | Sequence[int] = 16,
        region_size: int | Sequence[int] | None = None,
        region_ratio: float | None = None,
        mode: str = "two_level",
        mask_key: str = "mask",
        valid_key: str = "valid",
        allow_missing_keys: bool = False,
        seed: int = 0,
        id_key: str = "volume_id",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.draw = make_draw(mask_ratio, patch_size, region_size, region_ratio, mode)
        self.patch_size = triple(patch_size, "patch_size")
        self.mask_key, self.valid_key, self.id_key = mask_key, valid_key, id_key
        self.seed = _whole(seed, "seed")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set."""
        out = dict(data)
        keys = list(self.key_iterator(out))
        if keys:
            volume = _whole(out.get(self.id_key), f"data[{self.id_key!r}]")
            valid, valid_grid = read_valid(out, keys, self.valid_key, self.patch_size)
            rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, volume])))
            out[self.mask_key], out[self.valid_key] = (
                torch.from_numpy(self.draw(valid_grid, rng))[None],
                valid,
            )
        return out


class _Draw:
    """One of the draws with its parameters, checked; picklable, so that workers can be spawned."""

    def __init__(self, ratio: float, region_ratio: float | None, per_region: tuple[int, int, int] | None) -> None:
        self.ratio, self.region_ratio, self.per_region = ratio, region_ratio, per_region

    def __call__(self, valid_grid: BoolGrid, rng: np.random.RandomState) -> BoolGrid:
        if self.region_ratio is None or self.per_region is None:
            return draw_uniform(valid_grid, self.ratio, rng)
        return draw_two_level(valid_grid, self.ratio, self.region_ratio, self.per_region, rng)


def make_draw(
    mask_ratio: float,
    patch_size: int | Sequence[int],
    region_size: int | Sequence[int] | None,
    region_ratio: float | None,
    mode: str,
) -> Callable[[BoolGrid, np.random.RandomState], BoolGrid]:
    """Check the parameters and return the draw, a function of valid grid and random state.

    Raises:
        ValueError: see :class:`RandPatchMaskd`.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; found {mode!r}.")
    check_ratio(mask_ratio, "mask_ratio")
    if mask_ratio == 0:
        warnings.warn("mask_ratio 0 masks nothing.", stacklevel=3)
    if mode == "uniform":
        return _Draw(mask_ratio, None, None)
    if region_size is None or region_ratio is None:
        raise ValueError(
            f"mode 'two_level' needs region_size and region_ratio, found {region_size} and {region_ratio}."
        )
    check_ratio(region_ratio, "region_ratio")
    return _Draw(mask_ratio, region_ratio, patches_per_region(region_size, patch_size))


def _whole(value: Any, name: str) -> int:
    """Return a whole number from 0, or raise; takes an int, or numpy or a tensor of one item."""
    try:
        number = int(value)
        if number < 0 or number != value:
            raise ValueError
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a whole number from 0, found {value!r}.") from None
    return number
