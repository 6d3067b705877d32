"""A dictionary transform that replaces the masked patches of an image, for inference."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from custom_components.masking.fill import check_fill, fill_masked
from custom_components.masking.grid import mask_to_voxels
from custom_components.masking.sampler import MaskSampler


class ApplyPatchMaskd(MapTransform):
    """Replace the masked patches of an image, as a pretext network does with a batch.

    Pretraining does not need it, because the pretext network masks its own input; inference with the bare
    segmentation network does. Adds the mask on voxels, uint8 ``(1, D, H, W)``, 1 = masked, with the image's
    affine.

    Args:
        keys: images ``(C, D, H, W)``.
        sampler: the sampler that drew the mask; its patch size is read. None: ``MaskSampler()``.
        fill: "zero", "mean" or "noise"; "learned" is a parameter of the pretext network.
        mask_key: key of the mask, bool ``(1, gd, gh, gw)``.
        valid_key: key of the map of valid voxels, bool ``(1, D, H, W)``.
        masked_key: key of the mask on voxels.

    Raises:
        ValueError: for another fill.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        sampler: MaskSampler | None = None,
        fill: str = "zero",
        mask_key: str = "mask",
        valid_key: str = "valid",
        masked_key: str = "masked_voxels",
    ) -> None:
        super().__init__(keys)
        check_fill(fill, learned=False)
        self.patch_size, self.fill = (sampler or MaskSampler()).patch_size, fill
        self.mask_key, self.valid_key, self.masked_key = mask_key, valid_key, masked_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the images masked and the mask on voxels added."""
        out = dict(data)
        mask, valid = out[self.mask_key][None], out[self.valid_key][None]
        for key in self.keys:
            image = torch.as_tensor(out[key])
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            filled = fill_masked(plain[None], mask, self.patch_size, self.fill, None, valid)[0]
            masked = (mask_to_voxels(mask, self.patch_size) & valid)[0].to(torch.uint8)
            out[key], out[self.masked_key] = _like(filled, image), _like(masked, image)
        return out


def _like(t: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Give ``t`` the image's affine and history, if it has them."""
    return MetaTensor(t).copy_meta_from(image) if isinstance(image, MetaTensor) else t
