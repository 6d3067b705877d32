"""Validation must see windows of the size of a training crop."""

from __future__ import annotations

import pytest
from monai.inferers.inferer import SlidingWindowInferer

from custom_components.checks import WindowSize


@pytest.mark.parametrize("roi_size", [[32, 48, 32], (32, 48, 32)])
def test_the_size_of_a_crop_passes(roi_size) -> None:
    assert WindowSize(SlidingWindowInferer([32, 48, 32]), roi_size)() is None
    assert WindowSize(SlidingWindowInferer(32), [32, 32, 32])() is None


@pytest.mark.parametrize("window", [[48, 64, 48], [32, 32, 32], 48])
def test_another_size_is_refused_with_both(window) -> None:
    with pytest.raises(
        ValueError, match=r"validate#sliding_window#roi_size is \[.*\], roi_size is \[32, 48, 32\]"
    ):
        WindowSize(SlidingWindowInferer(window), [32, 48, 32])()
