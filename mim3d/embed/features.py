"""Pooled features of one volume, for each stage of the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data.utils import dense_patch_slices
from torch import Tensor

from custom_components.averages import masked_mean
from custom_components.backbones import Backbone
from custom_components.masking import valid_patches

#: Name of the features behind the last stage: what the decoder, and pretraining heads, read.
BOTTLENECK = "bottleneck"


def window_places(shape: Sequence[int], roi_size: Sequence[int], overlap: float) -> list[tuple[slice, ...]]:
    """Return the places of sliding windows, as MONAI's inferer takes them.

    Args:
        shape: voxels of the volume; at least ``roi_size``.
        roi_size: voxels of a window.
        overlap: share that neighbours have in common, from 0 to below 1.
    """
    steps = [
        side if side == size else max(int(side * (1 - overlap)), 1)
        for side, size in zip(roi_size, shape, strict=True)
    ]
    return list(dense_patch_slices(shape, roi_size, steps))


@torch.no_grad()
def pooled_features(
    backbone: Backbone, image: Tensor, valid: Tensor, roi_size: Sequence[int], overlap: float = 0.0
) -> dict[str, np.ndarray]:
    """Average the output of each encoder stage over a volume: over the valid cells of a window, then over windows.

    Args:
        backbone: in evaluation mode.
        image: ``(C, D, H, W)`` on the backbone's device; at least ``roi_size``.
        valid: bool ``(1, D, H, W)``: False marks padding, which is left out.
        roi_size: voxels of a window.
        overlap: of windows, see `window_places`.

    Returns:
        Stage -> float32 ``(F,)``, in the order of the stages, and `BOTTLENECK` as the last one.
    """
    sums: dict[str, Tensor] = {}
    places = window_places(image.shape[1:], roi_size, overlap)
    for place in places:  # each holds as many valid voxels, since only axes shorter than a window are padded
        window = (slice(None), *place)
        encoded = backbone.encode(image[window][None])
        outputs = {**encoded.stages, BOTTLENECK: encoded.bottleneck}
        strides = (*backbone.strides, backbone.stride)
        for (name, output), stride in zip(outputs.items(), strides, strict=True):
            cells = valid_patches(valid[window][None], stride)
            pooled = _mean_of_cells(output.float(), cells).double()
            sums[name] = sums[name] + pooled if name in sums else pooled
    return {name: (total / len(places)).cpu().numpy().astype(np.float32) for name, total in sums.items()}


def _mean_of_cells(output: Tensor, cells: Tensor) -> Tensor:
    """Average ``(1, F, d, h, w)``, or tokens ``(1, d * h * w, F)``, over cells that are True, to ``(F,)``."""
    if output.ndim == 3:  # a transformer's tokens, in the order of the grid
        return masked_mean(output, cells.flatten(1)[..., None], (0, 1))
    return masked_mean(output, cells, (0, 2, 3, 4))
