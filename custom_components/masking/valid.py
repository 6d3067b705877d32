"""Which voxels are valid: the transform that adds the map, and the one function that reads it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from torch import Tensor

from custom_components.masking.grid import patch_grid, valid_patches
from custom_components.masking.sampling import BoolGrid


class AddValidMaskd(MapTransform):
    """Add a map of the valid voxels, uint8 ``(1, D, H, W)``: 1 = valid.

    Put it before padding, and give its key to every later spatial transform (padding with 0, nearest
    interpolation), so that padded voxels are 0. The map has the image's affine if the image has one.

    Args:
        keys: images ``(C, D, H, W)`` that share one grid; the first one gives the shape.
        valid_key: key of the map.
        background_below: intensity, in the image's unit at this point; voxels at or below it in all channels of
            all images are not valid. None: every voxel is.

    Raises:
        ValueError: when the images differ in shape.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        valid_key: str = "valid",
        background_below: float | None = None,
    ) -> None:
        super().__init__(keys)
        self.valid_key = valid_key
        self.background_below = background_below

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with the map added."""
        out = dict(data)
        common_shape(out, self.keys)
        # as_tensor and the comparison keep a MetaTensor's affine, which Spacingd and Orientationd read.
        if self.background_below is None:
            valid = torch.ones_like(torch.as_tensor(out[self.keys[0]])[:1], dtype=torch.uint8)
        else:
            above = [torch.as_tensor(out[key]) > self.background_below for key in self.keys]
            valid = torch.cat(above).any(dim=0, keepdim=True).to(torch.uint8)
        out[self.valid_key] = valid
        return out


def common_shape(data: Mapping[Hashable, Any], keys: Sequence[Hashable]) -> tuple[int, ...]:
    """Return the spatial shape that all images share."""
    shapes = {str(key): tuple(data[key].shape[1:]) for key in keys}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"images must share one spatial shape, found {shapes}")
    return next(iter(shapes.values()))


def read_valid(
    data: Mapping[Hashable, Any], keys: Sequence[Hashable], valid_key: str, patch_size: Sequence[int]
) -> tuple[Tensor, BoolGrid]:
    """Return valid on voxels, bool ``(1, D, H, W)``, and on patches, bool ``(gd, gh, gw)``."""
    shape = common_shape(data, keys)
    grid = patch_grid(shape, patch_size)  # raises if the image is not a multiple of the patch
    found = data.get(valid_key)
    plain = torch.ones(()) if found is None else torch.as_tensor(found)
    if isinstance(plain, MetaTensor):
        plain = plain.as_tensor()
    if found is not None and tuple(plain.shape) != (1, *shape):
        raise ValueError(f"{valid_key!r} has shape {tuple(plain.shape)}; the image needs {(1, *shape)}")
    if plain.amin() > 0.5:  # the usual case, in a hundredth of the time
        return torch.ones((1, *shape), dtype=torch.bool), np.ones(grid, dtype=bool)
    valid = plain > 0.5
    return valid, np.asarray(valid_patches(valid[None], patch_size)[0, 0].cpu().numpy())
