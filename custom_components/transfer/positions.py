"""Position embeddings of another crop: resized where it is known which cell each of them belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from custom_components.backbones import Backbone

Grid = tuple[int, int, int]


def stated_crop(card: Mapping[str, Any] | None) -> Grid | None:
    """The crop in voxels that a weights card says its weights learned on; ``None`` where it states none."""
    view = (card or {}).get("view")
    crop = view.get("roi_size") if isinstance(view, Mapping) else None
    sides = [crop] * 3 if isinstance(crop, int) else crop
    if not isinstance(sides, Sequence) or len(sides) != 3 or not all(isinstance(side, int) for side in sides):
        return None
    return sides[0], sides[1], sides[2]


def target_grid(backbone: Backbone) -> Grid | None:
    """Cells of the network's crop along each axis; ``None`` where it takes any crop."""
    return None if backbone.crop_size is None else _cells(backbone.crop_size, backbone.strides[0])


def source_grid(number: int, backbone: Backbone, crop: Sequence[int] | None) -> Grid | None:
    """Cells along each axis of the crop that ``number`` embeddings were learned on.

    Where the crop is stated, it must hold that many of the network's tokens. Where it is not, both crops are
    taken to be cubes, if the network's is one and the number is that of a cube's cells.

    Args:
        number: embeddings in the file.
        backbone: adapter of the network they shall go into, whose token they share.
        crop: voxels along each axis, as the card states them.

    Returns:
        the grid, ``None`` where it is not known.
    """
    if crop is not None:
        cells = _cells(crop, backbone.strides[0])
        return cells if cells is not None and prod(cells) == number else None
    target, side = target_grid(backbone), round(number ** (1 / 3))
    if target is None or len(set(target)) > 1 or side**3 != number:
        return None
    return side, side, side


def same_token(state: Mapping[str, Tensor], backbone: Backbone) -> bool:
    """Whether the file's patches are as many voxels as the network's; not so where the file does not show them."""
    weight, ours = state.get(backbone.input_convs[0]), backbone.net.get_parameter(backbone.input_convs[0])
    return weight is not None and weight.shape[2:] == ours.shape[2:]


def resize_positions(source: Tensor, have: Grid, want: Grid) -> Tensor:
    """Interpolate one embedding per cell of a grid to another grid over the same crop, trilinearly.

    An embedding stands at the middle of its cell, and the corners of the two crops lie on each other, not the
    middles of their corner cells (``align_corners=False``). Beyond the outermost middles of ``have`` the nearest
    value is kept, nothing is extrapolated. On the way to a coarser grid only the two neighbours along each axis
    are read.

    Args:
        source: ``(1, N, F)``, cells in C order of ``have``.
        have: cells along each axis of the file's crop.
        want: cells along each axis of the network's crop.

    Returns:
        ``(1, N', F)``, cells in C order of ``want``.
    """
    cells = source.float().transpose(1, 2).unflatten(2, have)  # (1, F, d, h, w)
    resized = interpolate(cells, size=want, mode="trilinear", align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(source.dtype)


def _cells(crop: Sequence[int], token: int) -> Grid | None:
    """Tokens along each axis of a crop; ``None`` where it does not consist of whole ones."""
    if any(side < token or side % token for side in crop):
        return None
    depth, height, width = (side // token for side in crop)
    return depth, height, width
