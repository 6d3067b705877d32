"""One phantom case, drawn from kind, number and seed, as arrays ready to be stored."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from custom_components.number_checks import check_number

from . import abdomen, brain, hippocampus
from .abdomen_atlas import BTCV_LABELS
from .canvas import Canvas
from .volume_grid import case_orientation

SIZES = ("tiny", "small", "full")
_ATTEMPTS = 20
_FEWEST_VOXELS = 3

Drawn = tuple[Canvas, NDArray[np.int16], str]


@dataclass(frozen=True)
class Kind:
    """A kind of phantom.

    Attributes:
        channels: their names, in order.
        labels: class -> name.
        draw: draws a case of a size, axis codes and generator: canvas, image, note.
        classes: drawn class -> class in the label; other drawn classes become background. None keeps all.
    """

    channels: tuple[str, ...]
    labels: dict[int, str]
    draw: Callable[[str, str, np.random.Generator], Drawn]
    classes: dict[int, int] | None = None


@dataclass(frozen=True)
class Case:
    """One case as it is stored.

    Attributes:
        kind: key of ``KINDS``.
        image: int16, ``(X, Y, Z)`` or ``(X, Y, Z, C)``, in the stored axis order.
        label: uint8, ``(X, Y, Z)``.
        affine: voxel to world (RAS+, mm), ``(4, 4)``, the same for both.
        codes: axis codes of the stored arrays.
        note: the contrast phase of a CT case, else empty.
    """

    kind: str
    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    codes: str
    note: str


def _draw_ct(size: str, codes: str, rng: np.random.Generator) -> Drawn:
    case = abdomen.draw_abdomen(size, codes, rng)
    return case.canvas, abdomen.to_int16(case.canvas), case.phase


def _draw_liver(size: str, codes: str, rng: np.random.Generator) -> Drawn:
    case = abdomen.draw_abdomen(size, codes, rng, tumours=True)
    return case.canvas, abdomen.to_int16(case.canvas), case.phase


def _draw_brain(size: str, codes: str, rng: np.random.Generator) -> Drawn:
    canvas = brain.draw_brain(size, codes, rng)
    return canvas, brain.to_int16(canvas), ""


def _draw_hippocampus(size: str, codes: str, rng: np.random.Generator) -> Drawn:
    canvas = hippocampus.draw_hippocampus(size, codes, rng)
    return canvas, hippocampus.to_int16(canvas), ""


#: Large BTCV classes, which a short training learns. Their brightness depends on the phase, their place does not.
_SIX_ORGANS = (1, 2, 3, 6, 7, 8)
KINDS = {
    "abdomen_ct": Kind(("CT",), BTCV_LABELS, _draw_ct),
    "liver_ct": Kind(
        ("CT",), {0: "background", 1: "liver", 2: "tumour"}, _draw_liver, {6: 1, abdomen.TUMOUR_LABEL: 2}
    ),
    "spleen_ct": Kind(("CT",), {0: "background", 1: "spleen"}, _draw_ct, {1: 1}),
    "six_organs_ct": Kind(
        ("CT",),
        {0: "background", **{new: BTCV_LABELS[old] for new, old in enumerate(_SIX_ORGANS, 1)}},
        _draw_ct,
        {old: new for new, old in enumerate(_SIX_ORGANS, 1)},
    ),
    "brain_mri": Kind(brain.SEQUENCES, brain.LABELS, _draw_brain),
    "hippocampus_mri": Kind(("T1",), hippocampus.LABELS, _draw_hippocampus),
}


def make_case(kind: str, index: int, seed: int = 0, size: str = "small") -> Case:
    """Draw case number ``index``. The same arguments give the same bytes, whatever else is drawn.

    Args:
        kind: key of ``KINDS``.
        index: number of the case, from 0.
        seed: seed of the whole set, from 0.
        size: one of ``SIZES``; about 5, 3 and 1.3 mm for CT.

    Returns:
        The case; every class of the kind has at least three voxels.

    Raises:
        ValueError: for an unknown kind or size, or a negative number.
    """
    check_choice("kind", kind, tuple(KINDS))
    check_choice("size", size, SIZES)
    check_number(index, "index", at_least=0, whole=True)
    check_number(seed, "seed", at_least=0, whole=True)
    row = KINDS[kind]
    codes = case_orientation(seed, index)
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), index, attempt])
        canvas, image, note = row.draw(size, codes, rng)
        label = canvas.labels
        if row.classes is not None:
            table = np.zeros(256, np.uint8)
            table[list(row.classes)] = list(row.classes.values())
            label = table[label]
        counts = np.bincount(label.ravel(), minlength=len(row.labels))
        if counts[list(row.labels)].min() >= _FEWEST_VOXELS:
            break
    else:
        raise RuntimeError(f"no {kind} case with every class in {_ATTEMPTS} draws (seed {seed}, index {index})")
    # As on a scanner, the world origin is not the middle of the body.
    origin = np.round(rng.uniform((-15, -40, -700), (15, 40, 200)), 1).tolist()
    stored, affine = canvas.grid.store(image, origin)
    stored_label, _ = canvas.grid.store(label, origin)
    return Case(kind, stored.astype(np.int16), stored_label.astype(np.uint8), affine, codes, note)


def check_choice(name: str, found: object, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless ``found`` is one of ``allowed``."""
    if found not in allowed:
        raise ValueError(f"{name} is {found!r}; allowed: {', '.join(allowed)}")
