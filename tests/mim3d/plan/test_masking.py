"""Patch, region and ratio of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from custom_components.masking import MaskSampler
from mim3d.catalog import METHODS
from mim3d.plan.bundle_keys import pretraining_network
from mim3d.plan.cost import Work
from mim3d.plan.masking import decide_masks, patch_size

CUBE = (96, 96, 96)
MM = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("default", "token", "roi", "spacing", "diameter", "patch", "large"),
    [
        (8, 1, CUBE, MM, None, (8, 8, 8), False),
        (8, 1, CUBE, MM, 60.0, (8, 8, 8), False),
        (8, 1, CUBE, MM, 6.0, (4, 4, 4), False),
        (8, 1, CUBE, MM, 3.0, (4, 4, 4), True),
        (16, 16, (48, 48, 48), MM, 60.0, (16, 16, 16), False),  # a token is the smallest patch
        (16, 8, (48, 48, 48), MM, 60.0, (8, 8, 8), False),  # four patches of 16 do not fit
        (8, 1, (16, 64, 64), MM, 60.0, (4, 4, 4), False),
        (8, 1, (160, 160, 32), (0.8, 0.8, 5.0), 60.0, (8, 8, 2), False),  # 10 mm: as near to 6.4 as halving comes
        (16, 16, (160, 160, 32), (0.8, 0.8, 5.0), 60.0, (16, 16, 16), False),
    ],
)
def test_a_patch_fits_crop_structure_and_token(
    default: int,
    token: int,
    roi: tuple[int, ...],
    spacing: tuple[float, ...],
    diameter: float | None,
    patch: tuple[int, ...],
    large: bool,
) -> None:
    assert patch_size(default, token, roi, spacing, diameter) == (patch, large)


@pytest.mark.parametrize("method", ["hybridmim", "mae", "simmim"])
@pytest.mark.parametrize("roi", [CUBE, (48, 64, 48), (160, 160, 32), (16, 32, 32)])
@pytest.mark.parametrize("diameter", [None, 2.0, 50.0])
def test_masks_can_be_drawn_on_the_crop(method: str, roi: tuple[int, ...], diameter: float | None) -> None:
    chosen = METHODS[method]
    keys = pretraining_network(chosen, chosen.default, small=False)
    keys.pop("architecture")
    own = Work(0, 0, 0, 16, 1 if method == "hybridmim" else 16)
    spacing = (0.8, 0.8, 5.0) if roi[2] == 32 else MM
    made: dict[str, Any] = {d.key: d.value for d in decide_masks(chosen, keys, own, roi, spacing, diameter)}
    assert ("region_size" in made) == (method == "hybridmim")
    for mode in ("uniform", "block", *(["two_level"] if "region_size" in made else [])):
        more = {"region_ratio": 0.75} if "region_size" in made else {}
        MaskSampler(mode, foreground_weight=4.0, **made, **more).check_crop(roi)
    large = diameter == 2.0
    default = {"hybridmim": [0.3, 0.7]}.get(method, 0.75)
    assert made["mask_ratio"] == (default if not large else {"hybridmim": [0.2, 0.5]}.get(method, 0.5))


def test_a_method_without_masks_gets_none() -> None:
    assert decide_masks(METHODS["simclr"], {}, Work(0, 0, 0, 16, 16), CUBE, MM, None) == []
