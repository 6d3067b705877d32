"""Random smooth fields, texture and noise on a voxel grid, each drawn from the generator it is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .shapes import Floats


def smooth_field(axes: Sequence[NDArray[np.float64]], knot: float, rng: np.random.Generator) -> Floats:
    """A smooth random field with unit variance at its knots' scale.

    Random values on a lattice ``knot`` mm apart are joined by cubic B-splines, so that the field depends on
    place in millimetres and not on the voxel size.

    Args:
        axes: the voxel centres (mm, ascending) along each axis.
        knot: distance of the lattice points in mm.
        rng: source of the values.

    Returns:
        float32 array, one value per voxel of the grid.
    """
    weights = [_spline_weights(axis, knot) for axis in axes]
    values = rng.normal(size=[w.shape[1] for w in weights])
    for w in weights:
        # Contract the first axis and append the voxel axis: after all axes the order is the original one.
        values = np.tensordot(values, w.T, axes=(0, 0))
    # A cubic B-spline of white values has variance (151/315)^3 per three axes.
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
    """Blurred white noise of unit standard deviation: tissue texture, or correlated scanner noise."""
    noise = rng.standard_normal(tuple(shape), dtype=np.float32)
    noise = gaussian_filter(noise, sigma_voxels, mode="wrap", truncate=3.0)
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def occupancy(depth: Floats, width: float) -> Floats:
    """Share of each voxel that lies inside: 0.5 on the surface, linear over ``width`` mm of distance."""
    return np.clip(0.5 - depth / width, 0, 1).astype(np.float32)
