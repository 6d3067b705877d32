"""A dictionary transform that hides the masked patches of an image, for inference and pictures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from custom_components.masking.fill import FILLS, fill_masked
from custom_components.masking.grid import mask_to_voxels


class ApplyPatchMaskd(MapTransform):
    """Replace the masked patches of an image, as a pretext network does with a batch.

    Pretraining does not need it (the network hides its own input); inference with the bare segmentation
    network does. The mask on voxels, uint8 ``(1, D, H, W)``, 1 = hidden, is added with the image's affine.

    Args:
        keys: images ``(C, D, H, W)``.
        patch_size: voxels along each axis of a patch.
        fill: "zero", "mean" or "noise"; "learned" lives in the pretext network and is not to be had here.
        mask_key: bool ``(1, gd, gh, gw)``.
        valid_key: bool ``(1, D, H, W)``.
        masked_key: where the mask on voxels goes.
        allow_missing_keys: whether keys that are absent are passed over.

    Raises:
        ValueError: for another fill.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        patch_size: int | Sequence[int] = 16,
        fill: str = "zero",
        mask_key: str = "mask",
        valid_key: str = "valid",
        masked_key: str = "masked_voxels",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        allowed = [name for name in FILLS if name != "learned"]
        if fill not in allowed:
            raise ValueError(f"fill is {fill!r}; without the pretext network it can be one of {allowed}")
        self.patch_size, self.fill = patch_size, fill
        self.mask_key, self.valid_key, self.masked_key = mask_key, valid_key, masked_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the images masked and the hidden voxels marked."""
        out = dict(data)
        mask, valid = out[self.mask_key][None], out[self.valid_key][None]
        for key in self.key_iterator(out):
            image = torch.as_tensor(out[key])
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            filled = fill_masked(plain[None], mask, self.patch_size, self.fill, None, valid)[0]
            hidden = (mask_to_voxels(mask, self.patch_size) & valid)[0].to(torch.uint8)
            out[key], out[self.masked_key] = _like(filled, image), _like(hidden, image)
        return out


def _like(t: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Give ``t`` the image's affine and history, if it has them."""
    return MetaTensor(t).copy_meta_from(image) if isinstance(image, MetaTensor) else t
