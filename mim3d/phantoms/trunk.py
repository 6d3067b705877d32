"""The trunk around the organs: skin, fat, muscle, ribs, spine and the bases of the lungs (body mm, HU)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import EVERYWHERE, Canvas
from .shapes import Ball, Floats, Tube, distance

#: Half-axes (mm) of the muscle wall's outer surface, and the wall's thickness.
WALL_HALF_AXES = (146.0, 98.0)
WALL_THICKNESS = 13.0
_SQUARENESS = 2.4
_RIB_PITCH = 27.0
_VERTEBRA_PITCH = 33.0

Brightness = Callable[[str], Floats]


def wall_depth(body: Floats, outward: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Return the approximate signed distance in mm to the muscle wall, or to a surface around it.

    Args:
        body: points ``(3, ...)`` in body mm.
        outward: distance in mm from the wall to the surface, along x and along y.
    """
    a, b = WALL_HALF_AXES[0] + outward[0], WALL_HALF_AXES[1] + outward[1]
    x, y = np.abs(body[0]), np.abs(body[1])
    rho = ((x / a) ** _SQUARENESS + (y / b) ** _SQUARENESS) ** (1 / _SQUARENESS)
    radius = np.hypot(x, y)
    # At the centre the direction is undefined; the depth there is the shorter half-axis.
    local = np.where(rho > 0.05, radius / np.maximum(rho, 0.05), b)
    return ((rho - 1) * local).astype(np.float32)


def draw_trunk(canvas: Canvas, fat: float, brightness: Brightness) -> Floats:
    """Paint everything but the organs, and return the signed distance in mm to the surface of the cavity.

    Args:
        canvas: the case; its values are first set to air.
        fat: thickness in mm of the fat under the skin, in front and behind; a fifth more at the sides.
        brightness: tissue -> HU per voxel ``(X, Y, Z)``.
    """
    body = canvas.body

    def paint(share: Floats, tissue: str) -> None:
        canvas.paint(EVERYWHERE, share, brightness(tissue)[None], 0)

    canvas.values[:] = brightness("air")
    skin = wall_depth(body, (1.2 * fat, fat))
    paint(canvas.share(skin), "skin")
    paint(canvas.share(skin + 3.0), "fat")
    wall = wall_depth(body)
    paint(canvas.share(wall), "muscle")
    cavity = (wall + WALL_THICKNESS).astype(np.float32)
    paint(canvas.share(cavity), "fat")
    _paint_lungs(canvas, cavity, paint)
    back = np.minimum(*(distance((Ball((side * 36, -82, 0), (30, 19, 400)),), body) for side in (-1, 1)))
    psoas = np.minimum(
        *(
            distance(
                (Tube(((side * 30, -52, 10, 6), (side * 38, -48, -50, 18), (side * 44, -42, -150, 24))),),
                body,
            )
            for side in (-1, 1)
        )
    )
    paint(canvas.share(np.minimum(back, psoas)), "muscle")
    _paint_ribs(canvas, wall, paint)
    _paint_spine(canvas, paint)
    return cavity


def _paint_lungs(canvas: Canvas, cavity: Floats, paint: Callable[[Floats, str], None]) -> None:
    x, y, z = canvas.body
    dome = 92 - 0.011 * (np.abs(x) - 62) ** 2 - 0.0075 * (y - 8) ** 2
    mediastinum = np.hypot(np.maximum(np.abs(x + 8) - 14, 0), np.maximum(np.abs(y + 20) - 60, 0)) - 12
    depth = np.maximum(dome - z, -mediastinum)
    paint(canvas.share(np.maximum(depth, cavity + 1.5).astype(np.float32)), "lung")


def _paint_ribs(canvas: Canvas, wall: Floats, paint: Callable[[Floats, str], None]) -> None:
    x, y, z = canvas.body
    # Ribs slope down towards the front, and along the wall there is one per pitch.
    along = z + 0.42 * y
    turn = (along + _RIB_PITCH / 2) % _RIB_PITCH - _RIB_PITCH / 2
    # Lower ribs end further to the side: the costal arch leaves the middle of the front open.
    open_front = np.where(y > 0, 62 - 0.75 * (z - 20), 0) - np.abs(x)
    depth = np.hypot(wall + WALL_THICKNESS / 2, turn) - 5.2
    depth = np.maximum.reduce([depth, -20 - along, open_front, 30 - np.abs(x)]).astype(np.float32)
    paint(canvas.share(depth), "bone")
    paint(canvas.share(depth + 2.5), "marrow")


def _paint_spine(canvas: Canvas, paint: Callable[[Floats, str], None]) -> None:
    x, y, z = canvas.body
    turn = np.abs((z + _VERTEBRA_PITCH / 2) % _VERTEBRA_PITCH - _VERTEBRA_PITCH / 2)
    column = (np.hypot(x / 1.25, y + 52) - 17).astype(np.float32)
    paint(canvas.share(column), "disc")
    block = np.maximum(column, turn - 12.5).astype(np.float32)
    arch = np.abs(np.hypot(x, y + 76) - 11) - 3.0
    process = np.hypot(x, np.maximum(np.abs(y + 92) - 6, 0)) - 3.5
    wings = np.hypot(np.maximum(np.abs(x) - 32, 0), y + 70) - 4.5
    behind = np.maximum(np.minimum.reduce([arch, process, wings]), turn - 10).astype(np.float32)
    paint(canvas.share(np.minimum(block, behind)), "bone")
    paint(canvas.share(block + 2.2), "marrow")
    paint(canvas.share((np.hypot(x, y + 76) - 8.5).astype(np.float32)), "canal")
