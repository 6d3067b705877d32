"""Where a volume has foreground, before its intensities are scaled: the box that has to be prepared."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.transforms.croppad.dictionary import CropForegroundd
from monai.transforms.intensity.dictionary import NormalizeIntensityd, ScaleIntensityRanged
from monai.transforms.utils import is_positive

Box = Sequence[tuple[int, int]]


def stored_foreground(intensity: Any, crop: Any) -> Callable[[Any], Any] | None:
    """Return the criterion by which a crop to the foreground chooses voxels, for values that are not scaled yet.

    Args:
        intensity: the transform that scales intensities.
        crop: the transform that crops to the foreground, after scaling.

    Returns:
        A function from values to booleans; None if the two transforms are not a pair that this function knows: a
        window that becomes [0, 1] with a crop to values above 0, or a z-score of the voxels that are not 0 with a
        crop to these voxels.
    """
    if not isinstance(crop, CropForegroundd) or crop.cropper.channel_indices is not None or crop.cropper.margin:
        return None
    select: Any = crop.cropper.select_fn
    if isinstance(intensity, ScaleIntensityRanged) and select is is_positive:
        window = intensity.scaler
        if window.b_min == 0 < (window.b_max or 0) and window.a_min < window.a_max:
            return partial(operator.lt, window.a_min)
    if isinstance(intensity, NormalizeIntensityd) and intensity.normalizer.nonzero:
        is_nonzero = isinstance(select, partial) and (select.func, select.args) == (operator.ne, (0,))
        return select if is_nonzero else None
    return None


def foreground_box(foreground: Any) -> Box | None:
    """Return the first foreground voxel along each axis, and the one behind the last; None if there is none.

    Args:
        foreground: boolean ``(C, X, Y, Z)``.
    """
    where: Any = np.any(np.asarray(foreground), axis=0)  # Any: numpy's stubs allow for a single boolean
    planes = where.any(axis=2)
    lines = [planes.any(axis=1), planes.any(axis=0), where.any(axis=(0, 1))]
    if not lines[0].any():
        return None
    return [(int(line.argmax()), len(line) - int(line[::-1].argmax())) for line in lines]
