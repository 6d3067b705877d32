"""How a patch grid lies over a volume, how masks are drawn on it, and the targets of region tasks."""

from custom_components.masking.apply import ApplyPatchMaskd
from custom_components.masking.collate import MaskingCollate
from custom_components.masking.fill import FILLS, check_fill, fill_masked
from custom_components.masking.grid import (
    divide,
    flatten_grid,
    mask_to_voxels,
    patch_grid,
    patches_per_region,
    to_3tuple,
    valid_patches,
)
from custom_components.masking.patches import normalize_patches, patchify, unpatchify
from custom_components.masking.regions import region_targets
from custom_components.masking.sampler import MaskSampler
from custom_components.masking.sampling import draw_two_level, draw_uniform
from custom_components.masking.transforms import FixedPatchMaskd, RandPatchMaskd
from custom_components.masking.valid import AddValidMaskd

__all__ = [
    "AddValidMaskd",
    "ApplyPatchMaskd",
    "FILLS",
    "FixedPatchMaskd",
    "MaskSampler",
    "MaskingCollate",
    "RandPatchMaskd",
    "check_fill",
    "divide",
    "draw_two_level",
    "draw_uniform",
    "fill_masked",
    "flatten_grid",
    "mask_to_voxels",
    "normalize_patches",
    "patch_grid",
    "patches_per_region",
    "patchify",
    "region_targets",
    "to_3tuple",
    "unpatchify",
    "valid_patches",
]
