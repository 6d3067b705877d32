"""How a patch grid lies over a volume, which patches are hidden, and what there is to say about regions."""

from custom_components.masking.apply import ApplyPatchMaskd
from custom_components.masking.blocks import draw_blocks
from custom_components.masking.collate import MaskingCollate
from custom_components.masking.fill import FILLS, fill_masked
from custom_components.masking.foreground import check_weight, draw_foreground, foreground_share
from custom_components.masking.grid import (
    Ratio,
    check_grid,
    check_ratio,
    flatten_grid,
    mask_to_voxels,
    masked_count,
    patch_grid,
    patch_sums,
    patches_per_block,
    patches_per_region,
    ratio_range,
    region_grid,
    to_3tuple,
    valid_patches,
)
from custom_components.masking.patches import NormalizedPatches, normalize_patches, patchify, unpatchify
from custom_components.masking.regions import RegionTargets, group_regions, region_targets, ungroup_regions
from custom_components.masking.sampler import MODES, MaskSampler, Patches
from custom_components.masking.sampling import check_two_level, draw_two_level, draw_uniform
from custom_components.masking.transforms import FixedPatchMaskd, RandPatchMaskd
from custom_components.masking.valid import AddValidMaskd

__all__ = [
    "FILLS",
    "MODES",
    "AddValidMaskd",
    "ApplyPatchMaskd",
    "FixedPatchMaskd",
    "MaskSampler",
    "MaskingCollate",
    "NormalizedPatches",
    "Patches",
    "RandPatchMaskd",
    "Ratio",
    "RegionTargets",
    "check_grid",
    "check_ratio",
    "check_two_level",
    "check_weight",
    "draw_blocks",
    "draw_foreground",
    "draw_two_level",
    "draw_uniform",
    "fill_masked",
    "flatten_grid",
    "foreground_share",
    "group_regions",
    "masked_count",
    "normalize_patches",
    "patch_grid",
    "patch_sums",
    "patches_per_block",
    "patches_per_region",
    "patchify",
    "ratio_range",
    "region_grid",
    "region_targets",
    "mask_to_voxels",
    "to_3tuple",
    "ungroup_regions",
    "unpatchify",
    "valid_patches",
]
