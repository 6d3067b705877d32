"""One small module per pretext output; sizes in, predictions out, no idea where features come from."""

from custom_components.heads.contrast import ContrastHead
from custom_components.heads.region import MaskCountHead, MaskPositionHead, region_pool

__all__ = ["ContrastHead", "MaskCountHead", "MaskPositionHead", "region_pool"]
