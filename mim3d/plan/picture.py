"""The picture of a plan: a middle slice with crop, region and patch in their true sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from custom_components.data.names import Item, files_of
from custom_components.data.volumes import read_volume

#: What is drawn: name -> colour.
COLOURS = {"crop": "tab:orange", "region": "tab:cyan", "patch": "tab:green"}
_PLANES = (
    (0, 1, "left to right", "posterior to anterior"),
    (0, 2, "left to right", "inferior to superior"),
)


def draw_plan(
    target: Path,
    item: Item,
    sizes: dict[str, Sequence[int]],
    spacing: Sequence[float],
    window: Sequence[float] | None,
) -> None:
    """Write a picture of two planes through the middle of a case, in mm.

    Args:
        target: the PNG to write.
        item: the case.
        sizes: voxels of ``crop``, and where there are masks of ``region`` and ``patch``.
        spacing: mm of these voxels.
        window: HU that are black and white; None: the 1st and 99th percentile.
    """
    values, affine = read_volume(files_of(item), "replace")
    turned = nib.as_closest_canonical(nib.Nifti1Image(values[0], affine))
    scan, own = np.asarray(turned.dataobj), turned.header.get_zooms()[:3]
    low, high = window if window is not None else np.percentile(scan, (1, 99))
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    for panel, (x, y, across, up) in zip(figure.subplots(1, 2), _PLANES, strict=True):
        other = 3 - x - y
        plane = np.take(scan, scan.shape[other] // 2, other)
        middle = [scan.shape[axis] * own[axis] / 2 for axis in (x, y)]
        extent = (0, 2 * middle[0], 0, 2 * middle[1])
        panel.imshow(plane.T, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
        corner = [m - sizes["crop"][axis] * spacing[axis] / 2 for m, axis in zip(middle, (x, y), strict=True)]
        inside = [
            c + shift * spacing[axis]
            for c, shift, axis in zip(corner, _shifts(sizes, (x, y)), (x, y), strict=True)
        ]
        for name, size in sizes.items():
            start = corner if name == "crop" else inside
            _outline(panel, name, start, [size[axis] * spacing[axis] for axis in (x, y)])
        panel.set_xlim(min(0, corner[0]) - 3, max(2 * middle[0], 2 * middle[0] - corner[0]) + 3)
        panel.set_ylim(min(0, corner[1]) - 3, max(2 * middle[1], 2 * middle[1] - corner[1]) + 3)
        panel.set_xlabel(f"{across}, mm")
        panel.set_ylabel(f"{up}, mm")
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    figure.savefig(target, dpi=110)


def _shifts(sizes: dict[str, Sequence[int]], axes: Sequence[int]) -> list[int]:
    """Return how many voxels from the crop's corner a region near its middle begins."""
    unit = sizes.get("region") or sizes.get("patch") or sizes["crop"]
    return [unit[axis] * (sizes["crop"][axis] // unit[axis] // 2) for axis in axes]


def outlines(sizes: dict[str, Sequence[int]], spacing: Sequence[float]) -> dict[str, str]:
    """Return what the legend says of each size: voxels and mm."""
    return {
        name: f"{name} {'×'.join(map(str, size))} voxels,"
        f" {' × '.join(f'{side * length:.3g}' for side, length in zip(size, spacing, strict=True))} mm"
        for name, size in sizes.items()
    }


def _outline(panel: Any, name: str, corner: Sequence[float], sides: Sequence[float]) -> None:
    panel.add_patch(
        Rectangle(
            (corner[0], corner[1]),
            sides[0],
            sides[1],
            fill=False,
            linewidth=2,
            edgecolor=COLOURS[name],
            label=name,
        )
    )
