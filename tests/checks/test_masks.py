"""The sampler is built by the check, so that its own refusal is one line; masks must fit the crops."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from custom_components.checks import Masks
from custom_components.masking import MaskSampler

SIZES = {"mask_mode": "two_level", "mask_ratio": 0.5, "patch_size": 8, "region_size": 16, "region_ratio": 0.75}


@pytest.mark.parametrize(
    "changes", [{}, {"mask_mode": "uniform", "region_ratio": None}, {"mask_ratio": [0.4, 0.6]}]
)
def test_masks_that_fit_pass(changes: dict[str, Any]) -> None:
    Masks(partial(MaskSampler, **{**SIZES, **changes}), [32, 32, 48])()


@pytest.mark.parametrize(
    ("changes", "roi", "message"),
    [
        ({"mask_ratio": 1.2}, 32, "mask_ratio is 1.2"),
        ({"mask_ratio": 0, "region_ratio": 0}, 32, "mask_ratio is 0: nothing would be masked"),
        ({"mask_ratio": [0, 0], "mask_mode": "uniform"}, 32, "nothing would be masked"),
        ({"mask_ratio": 0.9, "region_ratio": 0.25}, 32, "mask_ratio 0.9 and region_ratio 0.25"),
        ({}, 40, r"roi_size \(40, 40, 40\) is not a multiple of region_size \(16, 16, 16\)"),
        ({}, "all", "roi_size is 'all'; allowed: one or three whole numbers"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], roi: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masks(partial(MaskSampler, **{**SIZES, **changes}), roi)()
