"""Dictionary transforms that draw masks. The mask gets its own key; the image is not touched."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform

from custom_components.masking.foreground import foreground_share
from custom_components.masking.sampler import MaskSampler
from custom_components.masking.valid import read_valid
from custom_components.number_checks import check_number


class _PatchMaskd(MapTransform):
    """Base of the transforms that draw a mask of patches with a sampler.

    ``data[mask_key]`` becomes bool ``(1, gd, gh, gw)``, True = masked. ``data[valid_key]``, ``(1, D, H, W)``,
    becomes bool (values above 0.5 are valid), or is added as all True. Both are plain tensors.
    """

    def __init__(self, keys: KeysCollection, sampler: MaskSampler | None, mask_key: str, valid_key: str) -> None:
        MapTransform.__init__(self, keys)
        self.sampler = MaskSampler() if sampler is None else sampler
        self.mask_key, self.valid_key = mask_key, valid_key
        if self.sampler.ratios[1] == 0:
            warnings.warn("mask_ratio 0 masks nothing", stacklevel=3)

    def _add_mask(
        self, data: Mapping[Hashable, Any], ratio: float, rng: np.random.RandomState
    ) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set."""
        sampler, share = self.sampler, None
        valid, valid_grid = read_valid(data, self.keys, self.valid_key, sampler.patch_size)
        if sampler.foreground_above is not None:
            images = [data[key] for key in self.keys]
            share = foreground_share(images, valid, sampler.foreground_above, sampler.patch_size)
        mask = sampler.draw(valid_grid, ratio, rng, share)
        return {**data, self.mask_key: torch.from_numpy(mask)[None], self.valid_key: valid}


class RandPatchMaskd(RandomizableTransform, _PatchMaskd):
    """Draw a mask of patches: bool ``(1, gd, gh, gw)``, True = masked.

    Exactly ``round(ratio * valid patches)`` patches of every sample are masked (Python's ``round``), none of them
    without a valid voxel. Seed a bare transform with ``set_random_state``.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; only "foreground" masking reads their voxels.
        sampler: how masks are drawn; None: ``MaskSampler()``. With a pair of ratios each sample draws its own
            ratio; `MaskingCollate` draws one per batch.
        mask_key: key of the mask.
        valid_key: key of the map of valid voxels, bool ``(1, D, H, W)``; read if present (above 0.5 is valid), and
            written.

    Raises:
        ValueError: when an image does not fit the sampler's sizes and ratios, or images or valid differ in shape.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        sampler: MaskSampler | None = None,
        mask_key: str = "mask",
        valid_key: str = "valid",
    ) -> None:
        _PatchMaskd.__init__(self, keys, sampler, mask_key, valid_key)
        RandomizableTransform.__init__(self, prob=1.0)
        self._ratio = 0.0

    def randomize(self, data: Any = None) -> None:
        """Draw the next mask ratio from ``self.R``; draws nothing when the sampler has one ratio."""
        self._ratio = self.sampler.draw_ratio(self.R)

    def __call__(self, data: Mapping[Hashable, Any], randomize: bool = True) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set; without ``randomize`` reuse the last ratio."""
        if randomize:
            self.randomize()
        return self._add_mask(data, self._ratio, self.R)


class FixedPatchMaskd(_PatchMaskd):
    """Like `RandPatchMaskd`, but the mask depends on ``(seed, data[id_key])`` alone.

    For validation: each volume has the same mask in every epoch, worker, rank and run. The mask ratio is the
    middle of the sampler's.

    Args:
        keys: as for RandPatchMaskd.
        sampler: how masks are drawn; None: ``MaskSampler()``.
        seed: a whole number from 0.
        id_key: key of the volume's number, a whole number from 0.
        mask_key: key of the mask.
        valid_key: key of the map of valid voxels.

    Raises:
        ValueError: as RandPatchMaskd, and when seed or id is not a whole number from 0.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        sampler: MaskSampler | None = None,
        seed: int = 0,
        id_key: str = "volume_id",
        mask_key: str = "mask",
        valid_key: str = "valid",
    ) -> None:
        super().__init__(keys, sampler, mask_key, valid_key)
        check_number(seed, "seed", at_least=0, whole=True)
        self.seed, self.id_key = seed, id_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with mask and valid set."""
        volume: Any = data.get(self.id_key)
        if isinstance(volume, (torch.Tensor, np.generic)):
            volume = volume.item()
        check_number(volume, f"data[{self.id_key!r}]", at_least=0, whole=True)
        rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, int(volume)])))
        return self._add_mask(data, self.sampler.middle_ratio, rng)
