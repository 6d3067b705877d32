"""How far an exported network is from the network itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Difference(NamedTuple):
    """The difference of two outputs.

    Attributes:
        largest: largest absolute difference.
        share: the same as a share of the largest absolute value of the expected output.
        voxels: number of voxels.
        classes: number of voxels whose class differs.
    """

    largest: float
    share: float
    voxels: int
    classes: int

    def __str__(self) -> str:
        """Return the difference in words."""
        return (
            f"largest difference {self.largest:.1e} ({self.share:.1e} of the largest value); "
            f"the class differs in {self.classes} of {self.voxels} voxels"
        )


def difference(expected: Tensor, answer: Tensor, to_classes: Callable[[Tensor], Tensor]) -> Difference:
    """Compare two outputs of a network for the same input.

    Args:
        expected: of the network itself, ``(C, D, H, W)``.
        answer: of the exported network.
        to_classes: maps an output ``(C, D, H, W)`` to the values of a label map ``(1, D, H, W)``.

    Raises:
        ValueError: if the outputs differ in shape, or if one of them is not finite.
    """
    if expected.shape != answer.shape:
        raise ValueError(f"the export returns {tuple(answer.shape)}, the network {tuple(expected.shape)}")
    for name, output in (("network", expected), ("export", answer)):
        if not output.isfinite().all():
            raise ValueError(f"the {name} returns values that are not finite")
    largest = (expected - answer).abs().max().item()
    scale = expected.abs().max().item()
    differ = to_classes(expected) != to_classes(answer)
    share = largest / scale if scale else float(largest > 0)
    return Difference(largest, share, differ.numel(), int(torch.count_nonzero(differ)))
