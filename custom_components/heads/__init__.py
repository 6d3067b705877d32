"""One small module per pretext output: sizes in, predictions out."""

from .contrast import ContrastHead
from .patch import PatchHead
from .projection import ProjectionHead
from .region import MaskCountHead, MaskPositionHead, region_pool

__all__ = ["ContrastHead", "MaskCountHead", "MaskPositionHead", "PatchHead", "ProjectionHead", "region_pool"]
