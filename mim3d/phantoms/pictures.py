"""A page of pictures of phantom cases: planes through each case, with its classes as an overlay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from .cases import KINDS, Case

_CT_WINDOW = (-160.0, 240.0)
#: One colour per class; all are easy to distinguish on grey.
_COLOURS = ("#000000", "#4477ff", "#ff9933", "#33cc66", "#ffee33", "#cc66ff", "#aa5533", "#ff77aa", "#ff2222",
            "#2299cc", "#00e5e5", "#b5d100", "#ff00cc", "#8899ff")  # fmt: skip


def save_pictures(cases: Sequence[tuple[str, Case, bool]], path: Path) -> None:
    """Write the page as PNG.

    Each row is a case: an axial, a coronal and a sagittal plane with the classes, the axial plane through the
    smallest class, and the first plane without classes. Of four sequences, the planes show FLAIR, and the plane
    without classes T1ce. The patient's right is on the left of axial and coronal pictures, as in radiology.

    Args:
        cases: title, case, and whether to draw its classes.
        path: the PNG file.
    """
    labels = KINDS[cases[0][1].kind].labels
    figure = Figure(figsize=(16, 3.2 * len(cases) + 0.9), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(cases), 5, squeeze=False)
    for row, (title, case, labelled) in zip(axes, cases, strict=True):
        _draw_row(row, title, case, labelled, len(labels))
    handles = [Patch(color=_COLOURS[value], label=name) for value, name in labels.items() if value]
    figure.legend(handles=handles, loc="lower center", ncol=min(7, len(handles)), fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.7 / (3.2 * len(cases) + 0.9), 1, 1))
    figure.savefig(path, dpi=80, format="png")


def _draw_row(row: Sequence[Any], title: str, case: Case, labelled: bool, classes: int) -> None:
    image, bare, label, spacing = _as_ras(case)
    # The planes go through the mean of the classes' centres, in which large classes do not outweigh small ones.
    x, y, z = _middle(label)
    colours = ListedColormap(list(_COLOURS[:classes]))
    values, counts = np.unique(label[label > 0], return_counts=True)
    smallest = int(values[counts.argmin()])
    at = round(float(np.argwhere(label == smallest)[:, 2].mean()))
    through = f"axial, {KINDS[case.kind].labels[smallest]}"
    planes = (
        ("axial", image[:, :, z], label[:, :, z], spacing[1] / spacing[0], True),
        ("coronal", image[:, y], label[:, y], spacing[2] / spacing[0], True),
        ("sagittal", image[x], label[x], spacing[2] / spacing[1], False),
        (through, image[:, :, at], label[:, :, at], spacing[1] / spacing[0], True),
        ("axial, bare", bare[:, :, z], np.zeros_like(label[:, :, z]), spacing[1] / spacing[0], True),
    )
    for axis, (name, picture, over, aspect, mirrored) in zip(row, planes, strict=True):
        turn = slice(None, None, -1) if mirrored else slice(None)
        low, high = _window(case, bare if name == "axial, bare" else image)
        axis.imshow(picture.T[:, turn], origin="lower", cmap="gray", vmin=low, vmax=high, aspect=aspect)
        if labelled and over.any():
            shown = np.ma.masked_equal(over.T[:, turn], 0)
            axis.imshow(
                shown,
                origin="lower",
                cmap=colours,
                vmin=-0.5,
                vmax=classes - 0.5,
                alpha=0.5,
                aspect=aspect,
                interpolation="nearest",
            )
        axis.set_title(name, fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    stored = "x".join(str(n) for n in case.image.shape[:3])
    sizes = "x".join(f"{s:.2f}" for s in nib.affines.voxel_sizes(case.affine))
    row[0].set_title(f"{title}\n{case.codes} {stored}, {sizes} mm {case.note}", fontsize=8)


def _as_ras(case: Case) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.uint8], NDArray[np.float64]]:
    """Return first channel, the channel to show without classes, label (all in RAS order), and spacing in mm."""
    turn = nib.orientations.io_orientation(case.affine)
    image = nib.orientations.apply_orientation(case.image, turn)
    label = nib.orientations.apply_orientation(case.label, turn)
    bare = image
    if image.ndim == 4:
        image, bare = image[..., 0], image[..., KINDS[case.kind].channels.index("T1ce")]
    spacing = np.zeros(3)
    spacing[turn[:, 0].astype(int)] = nib.affines.voxel_sizes(case.affine)
    return image, bare, label, spacing


def _window(case: Case, image: NDArray[np.int16]) -> tuple[float, float]:
    if case.kind.endswith("_ct"):
        return _CT_WINDOW
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(high)


def _middle(label: NDArray[np.uint8]) -> tuple[int, int, int]:
    middles = [np.argwhere(label == value).mean(0) for value in np.unique(label) if value]
    x, y, z = np.rint(np.mean(middles, axis=0)).astype(int)
    return int(x), int(y), int(z)
