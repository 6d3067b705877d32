"""Patch merging of SwinUNETR as older code computes it; most published SwinUNETR weights were trained with it.

Patch merging concatenates the cells of a 2³ block and projects them. All variants have the same parameters, of the
same names and shapes, so a weights file does not show which one trained it. An octant ``(1, 0, 0)`` is the second
cell along the first axis, and the first one along the others.
"""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import torch
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2
from torch import Tensor, nn
from torch.nn.functional import pad

Octants = tuple[tuple[int, int, int], ...]
_FIRST_FOUR = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
#: MONAI's ``mergingv2``.
MERGING_V2: Octants = tuple((i, j, k) for i, j, k in product((0, 1), repeat=3))
#: MONAI's ``merging``, its default, since MONAI 1.5.
MERGING: Octants = (*_FIRST_FOUR, (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))


class OldPatchMerging(PatchMergingV2):
    """Base class of patch merging with octants in a stated order, which may repeat some and leave others out.

    Pass a subclass as ``downsample`` to `monai.networks.nets.SwinUNETR`.
    """

    octants: ClassVar[Octants]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, D, H, W, C)`` to ``(B, D / 2, H / 2, W / 2, 2 C)``; odd sides are padded with zeros."""
        depth, height, width = x.shape[1:4]
        x = pad(x, (0, 0, 0, width % 2, 0, height % 2, 0, depth % 2))
        cells = torch.cat([x[:, i::2, j::2, k::2] for i, j, k in self.octants], -1)
        return self.reduction(self.norm(cells))


class PatchMergingMonai09(OldPatchMerging):
    """``merging`` of MONAI 0.9 to 1.4: it reads two octants twice and leaves two out (MONAI issue 8284)."""

    octants = (*_FIRST_FOUR, (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class PatchMergingSuPreM(OldPatchMerging):
    """The patch merging in SuPreM's own SwinUNETR: it reads one octant twice and leaves one out."""

    octants = (*_FIRST_FOUR, (1, 0, 1), (1, 1, 0), (1, 0, 1), (1, 1, 1))


def octants_of(merging: nn.Module | type[nn.Module]) -> Octants | None:
    """Return the octants that a patch merging concatenates, in order; None for an unknown class."""
    kind = merging if isinstance(merging, type) else type(merging)
    if issubclass(kind, OldPatchMerging):
        return kind.octants
    return MERGING_V2 if kind is PatchMergingV2 else MERGING if kind is PatchMerging else None
