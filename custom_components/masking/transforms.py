"""Dictionary transforms that draw masks. The mask leaves under its own key; the image is not touched."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from torch import Tensor

from custom_components.masking.foreground import foreground_share
from custom_components.masking.grid import Ratio
from custom_components.masking.sampler import MaskSampler, Patches
from custom_components.masking.sampling import BoolGrid
from custom_components.masking.valid import read_valid


class RandPatchMaskd(RandomizableTransform, MapTransform):
    """Draw a mask of patches: bool ``(1, gd, gh, gw)``, True = masked.

    Exactly ``round(mask_ratio * valid patches)`` are masked in every sample (Python's ``round``), none of
    them without a valid voxel. ``data[valid_key]``, ``(1, D, H, W)``, becomes bool, or is added as all True;
    a value over 0.5 counts. Mask and valid leave as plain tensors. A bare transform is seeded by
    ``set_random_state``.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; only "foreground" reads more than their shape.
        mask_ratio: share of the valid patches to mask, in [0, 1], 0 warns; or a pair [low, high], from which each
            sample draws its own. :class:`MaskingCollate` gives all samples of a step the same.
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region; needed by "two_level".
        region_ratio: share of the regions that hold the masked patches, in [0, 1]; needed by "two_level".
        mode: "two_level" (HybridMIM, arXiv 2303.10333), "uniform", "block" (unions of random boxes of patches) or
            "foreground" (by lot, patches that show something preferred).
        mask_key: where the mask goes.
        valid_key: where the voxels that count are read and written.
        allow_missing_keys: whether keys that are absent are passed over.
        block_size: voxels along each axis of the largest block, a multiple of the patch; needed by "block".
        foreground_above: intensity, in the image's unit, over which a voxel is foreground, in any channel; the
            default suits CT in [0, 1]. Read by "foreground".
        foreground_weight: how many times likelier a patch that is all foreground is drawn than one without, above
            0; needed by "foreground".

    Raises:
        ValueError: for ratios outside [0, 1] or, once the grid is known, mask and region ratios that do not go
            together; for sizes that do not divide; for images or valid of another shape; for an unknown mode or
            one whose parameters are missing.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_ratio: Ratio = 0.4,
        patch_size: int | Sequence[int] = 16,
        region_size: int | Sequence[int] | None = None,
        region_ratio: float | None = None,
        mode: str = "two_level",
        mask_key: str = "mask",
        valid_key: str = "valid",
        allow_missing_keys: bool = False,
        *,
        block_size: int | Sequence[int] | None = None,
        foreground_above: float = 0.0,
        foreground_weight: float | None = None,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.mode = MaskSampler(
            mode,
            mask_ratio,
            patch_size,
            region_size,
            region_ratio,
            block_size,
            foreground_above,
            foreground_weight,
        )
        _warn_of_no_mask(self.mode)
        self.mask_key, self.valid_key = mask_key, valid_key
        self._mask: BoolGrid | None = None

    def draw_ratio(self) -> float:
        """Draw a mask ratio from ``self.R``; where ``mask_ratio`` is a number, return it and draw nothing."""
        return self.mode.draw_ratio(self.R)

    def randomize(self, data: Patches, ratio: float | None = None) -> None:
        """Draw a mask for the patches ``data`` from ``self.R``, and before it the ratio where none is given."""
        self._mask = self.mode.draw(data, self.draw_ratio() if ratio is None else ratio, self.R)

    def __call__(self, data: Mapping[Hashable, Any], ratio: float | None = None) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set; ``ratio`` takes the place of ``mask_ratio``."""
        out = dict(data)
        keys = list(self.key_iterator(out))
        if keys:
            valid, patches = _read(out, keys, self.valid_key, self.mode)
            self.randomize(patches, ratio)
            out[self.mask_key], out[self.valid_key] = torch.from_numpy(self._mask)[None], valid
        return out


class FixedPatchMaskd(MapTransform):
    """Like :class:`RandPatchMaskd`, but the draw depends on ``(seed, data[id_key])`` alone.

    For validation: each volume has the same mask in every epoch, worker, rank and run.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; only "foreground" reads more than their shape.
        mask_ratio: share of the valid patches to mask, in [0, 1], 0 warns; the middle of a pair [low, high].
        patch_size: voxels along each axis of a patch.
        region_size: voxels along each axis of a region; needed by "two_level".
        region_ratio: share of the regions that hold the masked patches, in [0, 1]; needed by "two_level".
        mode: "two_level", "uniform", "block" or "foreground".
        mask_key: where the mask goes.
        valid_key: where the voxels that count are read and written.
        allow_missing_keys: whether keys that are absent are passed over.
        seed: a whole number from 0.
        id_key: where the volume's number is, a whole number from 0.
        block_size: as for RandPatchMaskd, like the next two.
        foreground_above: intensity over which a voxel is foreground.
        foreground_weight: preference for foreground.

    Raises:
        ValueError: as RandPatchMaskd, and when seed or id is not a whole number from 0.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_ratio: Ratio = 0.4,
        patch_size: int | Sequence[int] = 16,
        region_size: int | Sequence[int] | None = None,
        region_ratio: float | None = None,
        mode: str = "two_level",
        mask_key: str = "mask",
        valid_key: str = "valid",
        allow_missing_keys: bool = False,
        seed: int = 0,
        id_key: str = "volume_id",
        *,
        block_size: int | Sequence[int] | None = None,
        foreground_above: float = 0.0,
        foreground_weight: float | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mode = MaskSampler(
            mode,
            mask_ratio,
            patch_size,
            region_size,
            region_ratio,
            block_size,
            foreground_above,
            foreground_weight,
        )
        _warn_of_no_mask(self.mode)
        self.mask_key, self.valid_key, self.id_key = mask_key, valid_key, id_key
        self.seed = nonnegative_int(seed, "seed")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set."""
        out = dict(data)
        keys = list(self.key_iterator(out))
        if keys:
            volume = nonnegative_int(out.get(self.id_key), f"data[{self.id_key!r}]")
            valid, patches = _read(out, keys, self.valid_key, self.mode)
            rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, volume])))
            mask = self.mode.draw(patches, self.mode.middle_ratio, rng)
            out[self.mask_key], out[self.valid_key] = torch.from_numpy(mask)[None], valid
        return out


def _read(
    data: Mapping[Hashable, Any], keys: Sequence[Hashable], valid_key: str, mode: MaskSampler
) -> tuple[Tensor, Patches]:
    """Return valid on voxels, bool ``(1, D, H, W)``, and what the draw has to know of the patches."""
    valid, valid_grid = read_valid(data, keys, valid_key, mode.patch_size)
    if mode.foreground_above is None:
        return valid, Patches(valid_grid)
    images = [data[key] for key in keys]
    return valid, Patches(valid_grid, foreground_share(images, valid, mode.foreground_above, mode.patch_size))


def _warn_of_no_mask(mode: MaskSampler) -> None:
    if mode.ratios[1] == 0:
        warnings.warn("mask_ratio 0 masks nothing.", stacklevel=3)


def nonnegative_int(value: Any, name: str) -> int:
    """Return a whole number from 0, or raise; takes an int, or numpy or a tensor of one item."""
    try:
        number = int(value)
        if number < 0 or number != value:
            raise ValueError
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a whole number from 0, found {value!r}.") from None
    return number
