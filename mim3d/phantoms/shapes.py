"""Shapes in millimetres: ellipsoids and tubes, joined, cut and posed, as signed distances.

A signed distance is in millimetres, negative inside the shape. Distances to ellipsoids are first-order
approximations, exact on the surface. That is enough for the partial volume of voxels at the surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Ball:
    """An ellipsoid: centre and radii in mm, then turned by ``angles`` (degrees about x, y, z)."""

    centre: Vector
    radii: Vector
    angles: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Tube:
    """A smooth tube through ``(x, y, z, radius)`` points, all in mm."""

    points: tuple[tuple[float, float, float, float], ...]


Part = Ball | Tube


@dataclass(frozen=True)
class Pose:
    """How an organ of one case differs from the table.

    Attributes:
        pivot: point about which it is turned and scaled, mm.
        shift: translation, mm.
        turn: rotation matrix.
        grow: scale factor.
    """

    pivot: NDArray[np.float64]
    shift: NDArray[np.float64]
    turn: NDArray[np.float64]
    grow: float

    def to_table(self, points: Floats) -> Floats:
        """Map body coordinates ``(3, ...)`` to table coordinates."""
        flat = points.reshape(3, -1) - (self.pivot + self.shift)[:, None].astype(np.float32)
        own = (self.turn.T / self.grow).astype(np.float32) @ flat + self.pivot[:, None].astype(np.float32)
        return own.reshape(points.shape)

    def to_body(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map table coordinates ``(3, N)`` to body coordinates."""
        return self.turn @ (points - self.pivot[:, None]) * self.grow + (self.pivot + self.shift)[:, None]


def rotation(angles: Vector) -> NDArray[np.float64]:
    """Return the rotation matrix for degrees about x, then y, then z."""
    a, b, c = np.deg2rad(np.asarray(angles, dtype=float))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def draw_pose(parts: tuple[Part, ...], shift: float, turn: float, grow: float, rng: np.random.Generator) -> Pose:
    """Draw a random pose.

    Args:
        parts: the organ; its pivot is the centre of their box.
        shift: standard deviation of the translation in mm, clipped at twice that.
        turn: largest angle about each axis in degrees, uniform.
        grow: largest change of size as a share, uniform.
        rng: source of the pose.
    """
    low, high = corners(parts)
    return Pose(
        pivot=(low + high) / 2,
        shift=np.clip(rng.normal(0, shift, 3), -2 * shift, 2 * shift),
        turn=rotation(tuple(rng.uniform(-turn, turn, 3))),
        grow=1 + rng.uniform(-grow, grow),
    )


def corners(parts: tuple[Part, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest and highest corner of the box around ``parts``, in table coordinates (mm)."""
    lows, highs = [], []
    for part in parts:
        if isinstance(part, Ball):
            centre = np.asarray(part.centre)
            reach = np.sqrt(((rotation(part.angles) * np.asarray(part.radii)) ** 2).sum(1))
            lows.append(centre - reach)
            highs.append(centre + reach)
        else:
            track = _track(part)
            lows.append((track[:, :3] - track[:, 3:]).min(0))
            highs.append((track[:, :3] + track[:, 3:]).max(0))
    return np.min(lows, axis=0), np.max(highs, axis=0)


def posed_box(parts: tuple[Part, ...], pose: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest and highest corner of the box around posed parts, in body coordinates (mm)."""
    ends = np.stack(corners(parts))
    every = np.array([[ends[i, 0], ends[j, 1], ends[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]).T
    posed = pose.to_body(every)
    return posed.min(1), posed.max(1)


def distance(parts: tuple[Part, ...], points: Floats, blend: float = 0.0, cuts: tuple[Part, ...] = ()) -> Floats:
    """Return the signed distance in mm to the union of ``parts`` without ``cuts``.

    Args:
        parts: shapes to join.
        points: table coordinates ``(3, ...)`` in mm.
        blend: width in mm over which joints and cuts are rounded; 0 leaves them sharp.
        cuts: shapes to remove.
    """
    out = _one(parts[0], points)
    for part in parts[1:]:
        out = smooth_min(out, _one(part, points), blend)
    for cut in cuts:
        out = -smooth_min(-out, _one(cut, points), blend / 2)
    return out


def smooth_min(a: Floats, b: Floats, width: float) -> Floats:
    """Return the minimum, rounded where the two differ by less than ``width`` (polynomial smooth minimum)."""
    if width <= 0:
        return np.minimum(a, b)
    h = np.maximum(width - np.abs(a - b), 0) / width
    return (np.minimum(a, b) - h * h * (width / 4)).astype(np.float32)


def _one(part: Part, points: Floats) -> Floats:
    return _ball(part, points) if isinstance(part, Ball) else _tube(part, points)


def _ball(ball: Ball, points: Floats) -> Floats:
    centred = points.reshape(3, -1) - np.asarray(ball.centre, np.float32)[:, None]
    own = rotation(ball.angles).T.astype(np.float32) @ centred
    radii = np.asarray(ball.radii, np.float32)[:, None]
    level = np.sqrt(((own / radii) ** 2).sum(0))
    slope = np.sqrt(((own / radii**2) ** 2).sum(0)) + 1e-6
    near = level * (level - 1) / slope
    # The approximation tends to 0 at the centre, where the true depth is the smallest radius.
    near = np.where(level < 0.2, (level - 1) * radii.min(), near)
    return near.astype(np.float32).reshape(points.shape[1:])


def _tube(tube: Tube, points: Floats) -> Floats:
    flat = points.reshape(3, -1)
    track = _track(tube).astype(np.float32)
    best = np.full(flat.shape[1], np.inf, np.float32)
    for start, end in zip(track[:-1], track[1:], strict=True):
        along = end[:3] - start[:3]
        rel = flat - start[:3, None]
        t = np.clip(along @ rel / max(float(along @ along), 1e-6), 0, 1)
        gap = rel - along[:, None] * t
        far = np.sqrt(np.einsum("ij,ij->j", gap, gap))
        np.minimum(best, far - (start[3] + (end[3] - start[3]) * t), out=best)
    return best.reshape(points.shape[1:])


def _track(tube: Tube, steps: int = 4) -> NDArray[np.float64]:
    """Return the points of the tube, with ``steps`` pieces between each pair (Catmull-Rom spline)."""
    p = np.asarray(tube.points, dtype=float)
    if len(p) == 2:
        return p
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.arange(steps)[:, None] / steps
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        out.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    return np.concatenate([*out, p[-1:]])
