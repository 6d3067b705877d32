"""One small module per pretext output; sizes in, predictions out, no idea where features come from."""

from custom_components.heads.contrast import ContrastHead
from custom_components.heads.patch import PatchHead
from custom_components.heads.projection import ProjectionHead
from custom_components.heads.region import MaskCountHead, MaskPositionHead, region_pool

__all__ = ["ContrastHead", "MaskCountHead", "MaskPositionHead", "PatchHead", "ProjectionHead", "region_pool"]
