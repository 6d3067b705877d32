"""How a patch grid lies over a volume, how masks are drawn on it, and the targets of region tasks."""

from custom_components.masking.apply import ApplyPatchMaskd
from custom_components.masking.blocks import draw_blocks
from custom_components.masking.collate import MaskingCollate
from custom_components.masking.fill import FILLS, check_fill, fill_masked
from custom_components.masking.foreground import draw_foreground, foreground_share
from custom_components.masking.grid import (
    check_grid,
    divide,
    flatten_grid,
    mask_to_voxels,
    masked_count,
    patch_grid,
    patch_sums,
    patches_per_region,
    region_grid,
    to_3tuple,
    valid_patches,
)
from custom_components.masking.patches import NormalizedPatches, normalize_patches, patchify, unpatchify
from custom_components.masking.regions import RegionTargets, group_regions, region_targets, ungroup_regions
from custom_components.masking.sampler import MODES, MaskSampler
from custom_components.masking.sampling import check_two_level, draw_two_level, draw_uniform
from custom_components.masking.transforms import FixedPatchMaskd, RandPatchMaskd
from custom_components.masking.valid import AddValidMaskd

__all__ = [
    "AddValidMaskd",
    "ApplyPatchMaskd",
    "FILLS",
    "FixedPatchMaskd",
    "MODES",
    "MaskSampler",
    "MaskingCollate",
    "NormalizedPatches",
    "RandPatchMaskd",
    "RegionTargets",
    "check_fill",
    "check_grid",
    "check_two_level",
    "divide",
    "draw_blocks",
    "draw_foreground",
    "draw_two_level",
    "draw_uniform",
    "fill_masked",
    "flatten_grid",
    "foreground_share",
    "group_regions",
    "mask_to_voxels",
    "masked_count",
    "normalize_patches",
    "patch_grid",
    "patch_sums",
    "patches_per_region",
    "patchify",
    "region_grid",
    "region_targets",
    "to_3tuple",
    "ungroup_regions",
    "unpatchify",
    "valid_patches",
]
