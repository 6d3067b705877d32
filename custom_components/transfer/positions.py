"""Resizing position embeddings that were learned on crops of another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from custom_components.backbones import Backbone

Grid = tuple[int, int, int]


def stated_crop(card: Mapping[str, Any] | None) -> Grid | None:
    """Return the crop in voxels that a weights card states for its pretraining; None if it states none."""
    view = (card or {}).get("view")
    crop = view.get("roi_size") if isinstance(view, Mapping) else None
    sides = [crop] * 3 if isinstance(crop, int) else crop
    if not isinstance(sides, Sequence) or len(sides) != 3 or not all(isinstance(side, int) for side in sides):
        return None
    return sides[0], sides[1], sides[2]


def target_grid(backbone: Backbone) -> Grid | None:
    """Return the number of tokens along each axis of the network's crop; None if it takes any crop."""
    return None if backbone.crop_size is None else _tokens(backbone.crop_size, backbone.strides[0])


def source_grid(number: int, backbone: Backbone, crop: Sequence[int] | None) -> Grid | None:
    """Return the number of tokens along each axis of the crop on which the embeddings were learned.

    A stated crop must hold exactly ``number`` tokens. If none is stated, both crops are assumed to be cubes,
    provided that the network's is one and ``number`` is a cube.

    Args:
        number: embeddings in the file.
        backbone: adapter of the target network; file and network have the same token size.
        crop: voxels along each axis, as the card states them; None: not stated.

    Returns:
        The grid; None if it is not known.
    """
    if crop is not None:
        tokens = _tokens(crop, backbone.strides[0])
        return tokens if tokens is not None and prod(tokens) == number else None
    target, side = target_grid(backbone), round(number ** (1 / 3))
    if target is None or len(set(target)) > 1 or side**3 != number:
        return None
    return side, side, side


def same_token(state: Mapping[str, Tensor], backbone: Backbone) -> bool:
    """Return True if file and network use the same token size; False if the file has no patch embedding."""
    weight, ours = state.get(backbone.input_convs[0]), backbone.net.get_parameter(backbone.input_convs[0])
    return weight is not None and weight.shape[2:] == ours.shape[2:]


def resize_positions(source: Tensor, have: Grid, want: Grid) -> Tensor:
    """Interpolate embeddings trilinearly from one grid of tokens to another grid over the same crop.

    An embedding belongs to the centre of its token (``align_corners=False``). Beyond the outermost centres the
    nearest value is repeated. A coarser grid reads only the two neighbours along each axis.

    Args:
        source: ``(1, N, F)``, tokens in C order of ``have``.
        have: tokens along each axis of the file's crop.
        want: tokens along each axis of the network's crop.

    Returns:
        ``(1, N', F)``, tokens in C order of ``want``.
    """
    cells = source.float().transpose(1, 2).unflatten(2, have)  # (1, F, d, h, w)
    resized = interpolate(cells, size=want, mode="trilinear", align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(source.dtype)


def _tokens(crop: Sequence[int], token: int) -> Grid | None:
    """Return tokens along each axis of a crop; None if it is not a multiple of the token."""
    if any(side < token or side % token for side in crop):
        return None
    depth, height, width = (side // token for side in crop)
    return depth, height, width
