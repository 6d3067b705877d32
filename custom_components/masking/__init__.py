"""How a patch grid lies over a volume, which patches are hidden, and what there is to say about regions."""

from custom_components.masking.apply import ApplyPatchMaskd
from custom_components.masking.draw import check_two_level, draw_two_level, draw_uniform
from custom_components.masking.fill import FILLS, fill_masked
from custom_components.masking.grid import (
    check_grid,
    check_ratio,
    flatten_grid,
    masked_count,
    patch_grid,
    patches_per_region,
    region_grid,
    to_voxels,
    triple,
    valid_patches,
)
from custom_components.masking.regions import RegionTargets, group_regions, region_targets, ungroup_regions
from custom_components.masking.transforms import MODES, FixedPatchMaskd, RandPatchMaskd
from custom_components.masking.valid import AddValidMaskd

__all__ = [
    "FILLS",
    "MODES",
    "AddValidMaskd",
    "ApplyPatchMaskd",
    "FixedPatchMaskd",
    "RandPatchMaskd",
    "RegionTargets",
    "check_grid",
    "check_ratio",
    "check_two_level",
    "draw_two_level",
    "draw_uniform",
    "fill_masked",
    "flatten_grid",
    "group_regions",
    "masked_count",
    "patch_grid",
    "patches_per_region",
    "region_grid",
    "region_targets",
    "to_voxels",
    "triple",
    "ungroup_regions",
    "valid_patches",
]
