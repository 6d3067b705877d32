"""What phantoms are drawn with: grids, shapes, fields and the rows of the atlas."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from mim3d.phantoms.abdomen_atlas import BTCV_LABELS, ORGANS, TISSUES
from mim3d.phantoms.fields import occupancy, smooth_field
from mim3d.phantoms.shapes import Ball, Tube, distance
from mim3d.phantoms.volume_grid import ORIENTATIONS, make_grid


def test_stored_arrays_and_affine_name_the_same_places() -> None:
    grid = make_grid((-6, -8, -10), (6, 8, 10), (1.0, 2.0, 2.5), "PIR")
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    stored, affine = grid.store(array, (1, 2, 3))
    assert "".join(nib.aff2axcodes(affine)) == "PIR"
    for spot in [(0, 0, 0), (3, 1, 5), tuple(n - 1 for n in grid.shape)]:
        world = np.array([axis[i] for axis, i in zip(grid.axes, spot, strict=True)]) + (1, 2, 3)
        there = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), world)).astype(int)
        assert stored[tuple(there)] == array[spot]


def test_signed_distances_are_those_of_ball_and_tube() -> None:
    points = np.array([[0, 0, 0], [10, 0, 0], [13, 0, 0], [0, 7, 0]], np.float32).T
    np.testing.assert_allclose(distance((Ball((0, 0, 0), (10, 10, 10)),), points), [-10, 0, 3, -3], atol=1e-4)
    np.testing.assert_allclose(distance((Tube(((-5, 0, 0, 2), (5, 0, 0, 2))),), points), [-2, 3, 6, 5], atol=1e-4)


def test_a_field_depends_on_place_and_not_on_voxel_size() -> None:
    coarse, fine = ([np.arange(-20, 20.1, step) for _ in range(3)] for step in (2.0, 1.0))
    a, b = (smooth_field(axes, 15.0, np.random.default_rng(0)) for axes in (coarse, fine))
    np.testing.assert_allclose(a, b[::2, ::2, ::2], atol=1e-4)


def test_partial_volume_keeps_the_volume_of_a_ball() -> None:
    grid = make_grid((-20, -20, -20), (20, 20, 20), (3, 3, 3), "RAS")
    share = occupancy(distance((Ball((0.7, 0.3, 0), (12, 12, 12)),), grid.points()), 3.0)
    assert share.sum() * 27 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.04)


def test_every_row_of_the_atlas_names_known_tissues_and_earlier_rows() -> None:
    seen = {"cavity"}
    for organ in ORGANS:
        assert organ.tissue in TISSUES
        assert organ.shell is None or organ.shell[1] in TISSUES
        assert {organ.moves_with, organ.inside} - {None} <= seen
        seen.add(organ.name)
    assert {organ.label for organ in ORGANS} - {None} == set(BTCV_LABELS)


def test_orientations_are_valid_and_distinct() -> None:
    assert len(set(ORIENTATIONS)) == len(ORIENTATIONS)
    assert all(sorted("LR".find(c) >= 0 for c in code) == [False, False, True] for code in ORIENTATIONS)
