"""Brain MRI: four registered sequences, skull-stripped, with a tumour of nested regions (MSD Task01)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .canvas import EVERYWHERE, Canvas
from .fields import grain, smooth_field
from .shapes import Ball, Floats, Part, Tube, distance, rotation
from .volume_grid import Grid, make_grid

#: The channels, in the order of MSD Task01. T1ce is T1 after contrast agent.
SEQUENCES = ("FLAIR", "T1", "T1ce", "T2")
LABELS = {0: "background", 1: "edema", 2: "non-enhancing tumour", 3: "enhancing tumour"}

#: Tissue -> brightness in each of ``SEQUENCES``, arbitrary units.
TISSUES = {
    "fluid": (120, 160, 165, 900),
    "grey": (490, 420, 430, 570),
    "white": (405, 600, 612, 420),
    "nuclei": (450, 490, 500, 500),
    "edema": (830, 440, 450, 790),
    "non-enhancing": (560, 310, 325, 710),
    "enhancing": (650, 450, 960, 630),
}

SPACINGS = {
    "tiny": ((3.4, 4.0), (3.6, 4.6)),
    "small": ((2.0, 2.5), (2.2, 3.2)),
    "full": ((0.95, 1.15), (1.0, 1.6)),
}
_BEND = ((80.0, 3.0), (30.0, 1.5))
_CEREBRUM: tuple[Part, ...] = (Ball((0, 2, 8), (67, 84, 58)),)
_CEREBELLUM: tuple[Part, ...] = (Ball((22, -50, -38), (28, 28, 22)), Ball((-22, -50, -38), (28, 28, 22)))
_STEM: tuple[Part, ...] = (Tube(((0, -12, -10, 14), (0, -20, -38, 15), (0, -30, -75, 10))),)
_VENTRICLES: tuple[Part, ...] = (
    Tube(((11, 38, 10, 4), (13, 18, 20, 6), (15, -10, 22, 6), (24, -38, 14, 7), (28, -55, 8, 3))),
    Tube(((-11, 38, 10, 4), (-13, 18, 20, 6), (-15, -10, 22, 6), (-24, -38, 14, 7), (-28, -55, 8, 3))),
    Tube(((0, 8, 6, 2.5), (0, -12, 4, 3))),
)
_NUCLEI: tuple[Part, ...] = (
    Ball((11, -12, 8), (9, 15, 9)),
    Ball((-11, -12, 8), (9, 15, 9)),
    Ball((26, 8, 2), (7, 18, 11), (0, 0, -12)),
    Ball((-26, 8, 2), (7, 18, 11), (0, 0, 12)),
)


class _Paint(Protocol):
    """Paints a tissue where a signed distance (mm) is negative, optionally with a class."""

    def __call__(self, depth: Floats, tissue: str, label: int | None = None) -> None: ...


def draw_brain(size: str, codes: str, rng: np.random.Generator) -> Canvas:
    """Draw one case on its own random grid.

    Args:
        size: key of ``SPACINGS``.
        codes: axis codes in which the case will be stored.
        rng: source of everything that differs between cases.

    Returns:
        The case: four sequences in ``canvas.values``, exactly 0 outside the brain;
        classes in ``canvas.labels``.
    """
    scale = tuple(float(s) for s in rng.uniform(0.94, 1.06, 3))
    canvas = Canvas(_field_of_view(size, codes, scale, rng), 4, _BEND, (scale[0], scale[1], scale[2]), rng)
    wavy = [smooth_field(canvas.grid.axes, knot, rng) for knot in (10.0, 14.0)]
    fine = 0.06 * grain(canvas.grid.shape, 0.8, rng)

    def paint(depth: Floats, tissue: str, label: int | None = None) -> None:
        value = np.asarray(TISSUES[tissue], np.float32)[:, None, None, None] * (1 + fine)
        canvas.paint(EVERYWHERE, canvas.share(depth), value, label)

    brain = _draw_tissues(canvas, wavy, paint)
    _draw_tumour(canvas, brain, wavy, paint, rng)
    _scan(canvas, canvas.share(brain), rng)
    return canvas


def to_int16(canvas: Canvas) -> np.ndarray:
    """Return the four sequences as ``(X, Y, Z, 4)``, not negative."""
    return np.clip(np.rint(np.moveaxis(canvas.values, 0, -1)), 0, 32767).astype(np.int16)


def _field_of_view(size: str, codes: str, scale: tuple[float, ...], rng: np.random.Generator) -> Grid:
    in_plane, slices = SPACINGS[size]
    spacing = rng.uniform(*in_plane)
    half = np.array([76.0, 94.0, 76.0]) * scale + rng.uniform(0, 8, 3)
    return make_grid(tuple(-half), tuple(half), (spacing, spacing, rng.uniform(*slices)), codes)


def _draw_tissues(canvas: Canvas, wavy: list[Floats], paint: _Paint) -> Floats:
    """Paint the healthy brain and return the signed distance (mm) to its outer surface."""
    body = canvas.body
    cerebrum = distance(_CEREBRUM, body)
    # The skull base bounds the cerebrum from below. At the sides the temporal lobes reach 10 mm lower.
    floor = -30 - 10 * np.clip((np.abs(body[0]) - 22) / 15, 0, 1) - body[2]
    cerebrum = np.maximum(cerebrum, floor).astype(np.float32)
    cerebellum = distance(_CEREBELLUM, body, blend=6)
    stem = distance(_STEM, body)
    brain = np.minimum(np.minimum(cerebrum, cerebellum), stem)
    paint(brain, "fluid")
    # Where the random field crosses zero, a furrow of fluid reaches up to 12 mm below the surface.
    furrow = (2.0 - 9.0 * np.abs(wavy[0])).astype(np.float32)
    cortex = np.maximum(cerebrum + 1.5, np.where(cerebrum > -14, furrow, -10)).astype(np.float32)
    paint(cortex, "grey")
    paint((cerebrum + 8.5 + 4.0 * wavy[1] + 2.0 * np.clip(furrow + 3.5, 0, 5)).astype(np.float32), "white")
    fissure = np.maximum(np.abs(body[0]) - 1.3, 12 - np.abs(body[2] - 8) * 0.6 - np.abs(body[1]) * 0.12)
    paint(np.maximum(fissure, cerebrum).astype(np.float32), "fluid")
    paint(cerebellum + 1.0, "grey")
    paint((cerebellum + 7 + 3 * wavy[0]).astype(np.float32), "white")
    paint(stem, "white")
    paint(distance(_NUCLEI, body), "nuclei")
    paint(distance(_VENTRICLES, body, blend=2), "fluid")
    return brain


def _draw_tumour(
    canvas: Canvas, brain: Floats, wavy: list[Floats], paint: _Paint, rng: np.random.Generator
) -> None:
    """Paint edema, in it a core with an enhancing rim, and necrosis inside the rim."""
    body = canvas.body
    room = np.argwhere((brain < -20) & (np.abs(body[0]) > 16) & (body[2] > -12))
    centre = body[(slice(None), *room[rng.integers(len(room))])].astype(float)
    radius = rng.uniform(18, 30)

    def lump(size: float, off: float) -> Floats:
        at = centre + rng.normal(0, off, 3)
        first = Ball(tuple(at), tuple(size * rng.uniform(0.8, 1.1, 3)), tuple(rng.uniform(-40, 40, 3)))
        turn = rotation((0.0, 0.0, float(rng.uniform(0, 360))))
        second = Ball(tuple(at + turn @ np.array([0.6 * size, 0, 0])), tuple(size * rng.uniform(0.45, 0.7, 3)))
        return distance((first, second), body, blend=6)

    whole = np.maximum(lump(radius, 2) + 3.5 * wavy[1], brain + 4)
    core = np.maximum(lump(0.62 * radius, 2) + 1.2 * wavy[0], whole + 3)
    enhancing = np.maximum(lump(0.52 * radius, 1) + 1.0 * wavy[0], core + 0.5)
    rim = rng.uniform(3.5, 5.0)
    paint(whole.astype(np.float32), "edema", 1)
    paint(core.astype(np.float32), "non-enhancing", 2)
    paint(enhancing.astype(np.float32), "enhancing", 3)
    paint((enhancing + rim + 0.8 * wavy[1]).astype(np.float32), "non-enhancing", 2)


def _scan(canvas: Canvas, inside: Floats, rng: np.random.Generator) -> None:
    """Apply gain, smooth coil bias and Rician noise to each sequence; set voxels outside the brain to zero."""
    for channel in canvas.values:
        bias = np.exp(0.08 * smooth_field(canvas.grid.axes, 90.0, rng))
        sd = rng.uniform(12, 24)
        real = channel * bias + sd * rng.standard_normal(channel.shape, dtype=np.float32)
        imaginary = sd * rng.standard_normal(channel.shape, dtype=np.float32)
        channel[:] = np.hypot(real, imaginary) * rng.uniform(0.6, 1.6) * (inside >= 0.5)
    canvas.labels[inside < 0.5] = 0
