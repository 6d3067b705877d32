"""A small T1 MRI crop around one hippocampus, with head and body as two classes, as in MSD Task04."""

from __future__ import annotations

import numpy as np

from .canvas import EVERYWHERE, Canvas
from .fields import grain, smooth_field
from .shapes import Ball, Floats, Part, Tube, distance, draw_pose
from .volume_grid import make_grid

LABELS = {0: "background", 1: "anterior", 2: "posterior"}

#: T1 brightness (white matter = 1).
TISSUES = {"white": 0.92, "grey": 0.56, "hippocampus": 0.57, "fluid": 0.16, "nuclei": 0.82, "stem": 0.95}

#: Size -> voxel size in mm. The crop covers the same part of the head, so ``tiny`` only has fewer voxels.
SPACINGS = {"tiny": 1.5, "small": 1.0, "full": 1.0}
_BEND = ((28.0, 1.0), (12.0, 0.4))

# Left side, mm from the middle of the crop: x to the right (medial), y forward, z up.
_HIPPOCAMPUS: tuple[Part, ...] = (
    Ball((0.5, 11.5, -6), (8.8, 7.5, 5.2), (-15, 0, 0)),
    Tube(((2, 8, -5, 4.4), (-1.5, 0, -1.5, 4.4), (-3, -9, 4, 4.2), (0, -15, 9, 3.2))),
    Tube(((-4, 8, -6, 4.6), (-6, 0, -2, 4.2), (-6.5, -8, 3, 3.6))),
)
_AMYGDALA: tuple[Part, ...] = (Ball((1, 18, 2), (9, 7.5, 6.5)),)
_STEM: tuple[Part, ...] = (Ball((22, -10, -4), (12, 17, 26)),)
_THALAMUS: tuple[Part, ...] = (Ball((10, -8, 17), (14, 18, 9)),)


def draw_hippocampus(size: str, codes: str, rng: np.random.Generator) -> Canvas:
    """Draw one crop, of the left or the right side.

    Args:
        size: key of ``SPACINGS``.
        codes: axis codes in which the case will be stored.
        rng: source of everything that differs between cases.

    Returns:
        The case: T1 brightness in ``canvas.values[0]``, on a scale of its own; classes in ``canvas.labels``.
    """
    half = np.array([17.5, 25.0, 17.5]) + rng.integers(0, 5, 3) / 2
    step = SPACINGS[size]
    scale = tuple(float(s) for s in rng.uniform(0.94, 1.08, 3))
    grid = make_grid(tuple(-half), tuple(half), (step, step, step), codes)
    canvas = Canvas(grid, 1, _BEND, (scale[0], scale[1], scale[2]), rng)
    _draw_surroundings(canvas, rng)
    _draw_organ(canvas, rng)
    if rng.random() < 0.5:  # the right side is the left one mirrored; the grid is symmetric in x
        canvas.values = canvas.values[:, ::-1].copy()
        canvas.labels = canvas.labels[::-1].copy()
    _scan(canvas, rng)
    return canvas


def to_int16(canvas: Canvas) -> np.ndarray:
    """Return the crop's brightness, not negative."""
    return np.clip(np.rint(canvas.values[0]), 0, 32767).astype(np.int16)


def _paint(canvas: Canvas, depth: Floats, tissue: str, label: int | None = None) -> None:
    canvas.paint(EVERYWHERE, canvas.share(depth), np.array([TISSUES[tissue]], np.float32), label)


def _draw_surroundings(canvas: Canvas, rng: np.random.Generator) -> None:
    body = canvas.body
    canvas.values[:] = TISSUES["white"]
    # Temporal gyri lie below and to the side: ribbons of grey matter around furrows of fluid.
    ribbon = np.abs(smooth_field(canvas.grid.axes, 9.0, rng)) * 9
    zone = np.minimum(body[2] + 7 + 0.35 * body[1], body[0] + 14).astype(np.float32)
    _paint(canvas, np.maximum(ribbon - 4.5, zone).astype(np.float32), "grey")
    _paint(canvas, np.maximum(ribbon - 0.9, zone).astype(np.float32), "fluid")
    thalamus, stem = distance(_THALAMUS, body), distance(_STEM, body)
    _paint(canvas, thalamus, "nuclei")
    _paint(canvas, stem - rng.uniform(0.8, 2.5), "fluid")
    _paint(canvas, stem, "stem")
    _paint(canvas, distance(_AMYGDALA, body) - 0.4, "white")
    _paint(canvas, distance(_AMYGDALA, body), "grey")


def _draw_organ(canvas: Canvas, rng: np.random.Generator) -> None:
    pose = draw_pose(_HIPPOCAMPUS, shift=1.3, turn=8, grow=0.1, rng=rng)
    own = pose.to_table(canvas.body)
    depth = distance(_HIPPOCAMPUS, own, blend=2.5)
    # The fluid of the temporal horn lies above and to the side, a band of white matter below.
    horn = distance(_HIPPOCAMPUS, own - np.array([-2.2, 0.5, 2.0], np.float32)[:, None, None, None], blend=2.5)
    _paint(canvas, depth - 2.0, "white")
    thick = rng.uniform(-1.5, 0.6)
    _paint(canvas, (horn - thick).astype(np.float32), "fluid")
    _paint(canvas, depth, "hippocampus", 2)
    # A coronal plane through the uncus separates head and body, as in the annotation of MSD Task04.
    front = (4.0 + rng.normal(0, 0.8) - own[1]).astype(np.float32)
    canvas.labels[(canvas.share(depth) >= 0.5) & (front < 0)] = 1


def _scan(canvas: Canvas, rng: np.random.Generator) -> None:
    """Apply texture, coil bias, noise and a random scale; the brightness of MSD's cases differs 30-fold."""
    shape = canvas.grid.shape
    image = canvas.values[0] * (1 + 0.05 * grain(shape, 1.0, rng))
    image = image * np.exp(0.08 * smooth_field(canvas.grid.axes, 40.0, rng)) + rng.uniform(0.02, 0.04) * grain(
        shape, 0.5, rng
    )
    canvas.values[0] = image * 10 ** rng.uniform(2.0, 3.2)
