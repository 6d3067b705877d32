"""Rotations by 90 degrees must keep the shape of a crop."""

from __future__ import annotations

import pytest

from custom_components.checks import RotationPlane


@pytest.mark.parametrize("axes", [None, [0, 2], [2, 0], (-1, 0)])
def test_a_square_plane_and_no_rotation_pass(axes) -> None:
    assert RotationPlane(axes, [32, 64, 32], [1.0, 2.0, 1.0])() is None


@pytest.mark.parametrize("axes", [[0, 1], [0, 0], [0], [0, 1, 2], [0, 3], ["0", 1], 1, "01"])
def test_another_plane_is_refused_with_those_that_are_allowed(axes) -> None:
    with pytest.raises(
        ValueError, match=r"allowed with roi_size \[32, 64, 32\]: \[0, 2\] or null \(no rotation\)"
    ):
        RotationPlane(axes, [32, 64, 32])()


def test_crops_of_three_sides_allow_no_rotation_alone() -> None:
    with pytest.raises(ValueError, match=r"allowed with roi_size \[16, 32, 64\]: null"):
        RotationPlane([0, 1], [16, 32, 64])()


def test_different_spacings_warn() -> None:
    message = RotationPlane([1, 2], 32, [1.0, 1.5, 3.0])()
    assert message is not None
    assert "rotation_axes [1, 2] turn crops between axes of 1.5 and 3 mm" in message
