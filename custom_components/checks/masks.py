"""Check: can masks be drawn on the crops?"""

from __future__ import annotations

from collections.abc import Callable

from custom_components.masking import MaskSampler
from custom_components.masking.grid import Size


class Masks:
    """The mask sampler must build, fit the crops, and mask something.

    Args:
        make_sampler: builds the sampler, so that a wrong parameter is one line here.
        roi_size: voxels along each axis of a crop.
    """

    def __init__(self, make_sampler: Callable[[], MaskSampler], roi_size: Size) -> None:
        self.make_sampler, self.roi_size = make_sampler, roi_size

    def __call__(self) -> None:
        """Raise ValueError for parameters out of range, sizes that do not fit, or a ratio of 0."""
        sampler = self.make_sampler()
        if sampler.ratios[1] == 0:
            raise ValueError("mask_ratio is 0: nothing would be masked; allowed: above 0, up to 1")
        sampler.check_crop(self.roi_size)
