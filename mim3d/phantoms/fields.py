"""Random smooth fields, texture and partial volume on a voxel grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .shapes import Floats


def smooth_field(axes: Sequence[NDArray[np.float64]], knot: float, rng: np.random.Generator) -> Floats:
    """Return a smooth random field of unit variance.

    Cubic B-splines interpolate random values on a lattice. So the field depends on the place in millimetres and
    not on the voxel size.

    Args:
        axes: voxel centres along each axis, mm, ascending.
        knot: distance of the lattice points in mm.
        rng: source of the values.

    Returns:
        float32, one value per voxel.
    """
    weights = [_spline_weights(axis, knot) for axis in axes]
    values = rng.normal(size=[w.shape[1] for w in weights])
    for w in weights:
        # Contract the first axis and append its voxel axis. After all three the axes are in their old order.
        values = np.tensordot(values, w.T, axes=(0, 0))
    # Interpolated independent values of unit variance have variance 151/315 per axis.
    return (values / (151 / 315) ** 1.5).astype(np.float32)


def _spline_weights(axis: NDArray[np.float64], knot: float) -> NDArray[np.float64]:
    place = (axis - axis[0]) / knot
    cells = int(np.floor(place[-1])) + 1
    index = np.minimum(np.floor(place).astype(int), cells - 1)
    t = place - index
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    weights = np.zeros((len(axis), cells + 3))
    for k in range(4):
        weights[np.arange(len(axis)), index + k] = basis[:, k]
    return weights


def grain(shape: Sequence[int], sigma_voxels: Sequence[float] | float, rng: np.random.Generator) -> Floats:
    """Return blurred white noise of unit standard deviation, as tissue texture or scanner noise."""
    noise = rng.standard_normal(tuple(shape), dtype=np.float32)
    noise = gaussian_filter(noise, sigma_voxels, mode="wrap", truncate=3.0)
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def occupancy(depth: Floats, width: float) -> Floats:
    """Return the share of each voxel inside a surface.

    Args:
        depth: signed distance to the surface in mm, negative inside.
        width: width of a voxel in mm; over this distance the share falls linearly from 1 to 0, 0.5 on the surface.
    """
    return np.clip(0.5 - depth / width, 0, 1).astype(np.float32)
