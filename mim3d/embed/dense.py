"""Features of a volume on the grid of the encoder's cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from custom_components.atomic import write_atomically
from custom_components.backbones import Backbone
from mim3d.embed.features import window_places


@torch.no_grad()
def dense_features(backbone: Backbone, image: Tensor, roi_size: Sequence[int], overlap: float) -> np.ndarray:
    """Return the bottleneck of a whole volume; where windows overlap, the mean of theirs.

    Windows lie on whole cells; for that, the volume is padded with zeros at its far ends.

    Args:
        backbone: in evaluation mode.
        image: ``(C, D, H, W)`` on the backbone's device; at least ``roi_size``.
        roi_size: voxels of a window.
        overlap: share that neighbouring windows have in common, from 0 to below 1; rounded to whole cells.

    Returns:
        float32 ``(d, h, w, F)``: one cell for each ``backbone.stride`` voxels.
    """
    stride = backbone.stride
    missing = [-side % stride for side in image.shape[1:]]
    image = pad(image, [side for behind in reversed(missing) for side in (0, behind)])
    cells = [side // stride for side in image.shape[1:]]
    total = torch.zeros(backbone.bottleneck_channels, *cells, dtype=torch.float64)
    count = torch.zeros(cells)
    for place in window_places(cells, [side // stride for side in roi_size], overlap):
        voxels = tuple(slice(side.start * stride, side.stop * stride) for side in place)
        found = backbone.encode(image[(slice(None), *voxels)][None]).bottleneck[0]
        total[(slice(None), *place)] += found.double().cpu()
        count[place] += 1
    return np.asarray((total / count).movedim(0, -1).float().numpy())


def write_dense(features: np.ndarray, affine: np.ndarray, stride: int, target: Path) -> None:
    """Write features as 4D NIfTI, so that each cell lies where its voxels lie.

    Args:
        features: ``(d, h, w, F)``.
        affine: of the voxels that were encoded, ``(4, 4)``, in mm.
        stride: voxels per cell.
        target: ``.nii.gz``.
    """
    cell = np.diag([stride, stride, stride, 1.0])
    cell[:3, 3] = (stride - 1) / 2  # the centre of a cell's voxels
    image = nib.Nifti1Image(features, affine @ cell)
    write_atomically(target, lambda partial: nib.save(image, partial))
