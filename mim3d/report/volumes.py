"""The pictures of the quick start's report: Dice curves, and label and prediction over an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from custom_components.data.nifti import open_image

#: The two segmentation runs, and their names in the report.
RUNS = {"scratch": "from scratch", "finetuned": "from pretrained weights"}
SOFT_TISSUE = (-160, 240)  # HU


def curve(folder: Path, tag: str) -> tuple[list[int], list[float]]:
    """Return steps and values of one TensorBoard scalar, over all event files of a folder."""
    points: dict[int, float] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            points |= {event.step: event.value for event in events.Scalars(tag)}
    return sorted(points), [points[step] for step in sorted(points)]


def draw_curves(out: Path) -> None:
    """Write ``dice_curves.png``: validation Dice over epochs, of both runs."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for run, name in RUNS.items():
        steps, values = curve(out / run, "val_mean_dice")
        axes.plot(steps, values, marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="mean Dice on validation volumes", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out / "dice_curves.png", dpi=110)


def draw_overlay(out: Path, image: Path, label: Path, prediction: Path) -> None:
    """Write ``overlay.png``: image, label and prediction on three planes.

    Along each axis it shows the plane with the most labelled voxels.

    Args:
        out: folder to write to.
        image: 3D file, or 4D with the channels last; the first channel is shown.
        label: classes as integers.
        prediction: classes as integers, on the label's grid.
    """
    volumes = [nib.as_closest_canonical(open_image(str(path))) for path in (image, label, prediction)]
    scan, truth, found = (np.asarray(volume.dataobj).squeeze() for volume in volumes)
    scan = scan[..., 0] if scan.ndim == 4 else scan
    window = (
        SOFT_TISSUE if scan.min() < -500 else tuple(np.percentile(scan, (1, 99)))
    )  # CT holds air, below -500 HU
    zooms = volumes[0].header.get_zooms()[:3]
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(3, 3)
    for axis in range(3):
        row, column = others = [other for other in range(3) if other != axis]
        plane = int(np.argmax((truth > 0).sum(axis=tuple(others))))
        view = {"origin": "lower", "aspect": zooms[column] / zooms[row]}
        for panel, mask in zip(axes[axis], (None, truth, found), strict=True):
            _draw_panel(panel, np.take(scan, plane, axis), window, view)
            if mask is not None:
                _draw_classes(panel, np.take(mask, plane, axis), view)
    for panel, title in zip(axes[0], ("image", "label", "prediction"), strict=True):
        panel.set_title(title)
    figure.savefig(out / "overlay.png", dpi=110)


def _draw_panel(panel: Any, plane: np.ndarray, window: tuple[float, ...], view: dict[str, Any]) -> None:
    panel.imshow(plane.T, cmap="gray", vmin=window[0], vmax=window[1], **view)
    panel.set_axis_off()


def _draw_classes(panel: Any, classes: np.ndarray, view: dict[str, Any]) -> None:
    colours = matplotlib.colormaps["tab20"].with_extremes(under=(0, 0, 0, 0))
    panel.imshow(classes.T, cmap=colours, vmin=0.5, vmax=20.5, alpha=0.6, interpolation="none", **view)
