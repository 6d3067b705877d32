"""The voxel grid of one case: spacing, field of view, and the orientation of the stored arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

#: Axis codes of the stored arrays, used in turn. Some are flipped, some also have another order of axes.
ORIENTATIONS = ("LPS", "RAS", "RAI", "PIR", "LAS", "ASL", "LPI", "SRA", "PSR", "RPS")


@dataclass(frozen=True)
class Grid:
    """A grid in world mm (RAS+): x grows to the patient's right, y forward, z up.

    Attributes:
        axes: voxel centres along x, y and z in mm, ascending.
        spacing: voxel size along x, y and z in mm.
        codes: the axis codes in which the arrays are stored, for example ``"LPS"``.
    """

    axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    spacing: tuple[float, float, float]
    codes: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z, before storing."""
        x, y, z = (len(axis) for axis in self.axes)
        return x, y, z

    def points(self) -> NDArray[np.float32]:
        """Return the world coordinates of all voxel centres, ``(3, X, Y, Z)`` in mm."""
        return np.stack(np.meshgrid(*[a.astype(np.float32) for a in self.axes], indexing="ij"))

    def affine(self, origin: Sequence[float] = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
        """Return the voxel-to-world matrix of the RAS grid, shifted by ``origin`` (mm)."""
        out = np.diag([*self.spacing, 1.0])
        out[:3, 3] = [axis[0] for axis in self.axes] + np.asarray(origin, dtype=float)
        return out

    def store(
        self, array: NDArray[np.generic], origin: Sequence[float]
    ) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
        """Return an RAS array ``(X, Y, Z[, C])`` flipped and permuted to ``codes``, and its affine."""
        to_codes = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(self.codes)
        )
        stored = nib.orientations.apply_orientation(array, to_codes)
        affine = self.affine(origin) @ nib.orientations.inv_ornt_aff(to_codes, self.shape)
        return np.ascontiguousarray(stored), affine


def make_grid(low: Sequence[float], high: Sequence[float], spacing: Sequence[float], codes: str) -> Grid:
    """Return a grid whose voxels cover ``low`` to ``high`` (mm) at ``spacing`` (mm)."""
    axes = [np.arange(lo + step / 2, hi, step) for lo, hi, step in zip(low, high, spacing, strict=True)]
    sx, sy, sz = (float(s) for s in spacing)
    return Grid((axes[0], axes[1], axes[2]), (sx, sy, sz), codes)


def case_orientation(seed: int, index: int) -> str:
    """Return the axis codes of case ``index``; consecutive cases have different ones."""
    return ORIENTATIONS[(seed + index) % len(ORIENTATIONS)]
