"""Check: may crops be turned by 90 degrees in the chosen plane?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from custom_components.masking.grid import Size, to_3tuple


class RotationPlane:
    """The two axes of a rotation by 90 degrees must have equal crop sides, or crops change their shape.

    Args:
        rotation_axes: two different axes of 0, 1 and 2; None: no rotation.
        roi_size: voxels along each axis of a crop.
        spacing: mm along each axis; a rotation between different spacings stretches the anatomy.
    """

    def __init__(
        self, rotation_axes: Sequence[int] | None, roi_size: Size, spacing: Sequence[float] | None = None
    ) -> None:
        self.axes, self.roi_size, self.spacing = rotation_axes, roi_size, spacing

    def __call__(self) -> str | None:
        """Return a warning for different spacings; raise ValueError naming the planes that are allowed."""
        if self.axes is None:
            return None
        sides = to_3tuple(self.roi_size, "roi_size")
        planes = [list(pair) for pair in combinations(range(3), 2) if sides[pair[0]] == sides[pair[1]]]
        found = self.axes if isinstance(self.axes, (list, tuple)) else [self.axes]
        # Negative axes count from the end, as in NumPy.
        axes = sorted(axis % 3 for axis in found if isinstance(axis, int) and -3 <= axis <= 2)
        if len(found) != len(axes) or axes not in planes:
            allowed = " or ".join(map(str, [*planes, None])).replace("None", "null (no rotation)")
            raise ValueError(
                f"rotation_axes is {self.axes}; allowed with roi_size {list(sides)}: {allowed}, because a crop"
                " must keep its shape"
            )
        spacing = [self.spacing[axis] for axis in axes] if self.spacing is not None else [1, 1]
        if spacing[0] == spacing[1]:
            return None
        return (
            f"warning: rotation_axes {axes} turn crops between axes of {spacing[0]:g} and {spacing[1]:g} mm, which"
            " stretches the anatomy; null switches the rotation off"
        )
