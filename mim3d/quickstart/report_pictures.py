"""The pictures of the quick start's report: Dice over epochs, and label and prediction over an image."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RUNS = {"scratch": "from scratch", "finetuned": "from pretrained weights"}


def curve(folder: Path, tag: str) -> tuple[list[int], list[float]]:
    """Steps and values of one TensorBoard scalar, over all event files of a folder."""
    points: dict[int, float] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            points |= {event.step: event.value for event in events.Scalars(tag)}
    return sorted(points), [points[step] for step in sorted(points)]


def draw_curves(out: Path) -> None:
    """Validation Dice over epochs of both runs."""
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
    """Label and prediction over the plane that shows most of the label, along each axis."""
    volumes = [nib.as_closest_canonical(nib.load(path)) for path in (image, label, prediction)]
    scan, truth, found = (np.asarray(volume.dataobj).squeeze() for volume in volumes)
    scan = scan[..., 0] if scan.ndim == 4 else scan  # the first channel
    # CT reaches from air to bone: soft tissue is what is to be seen
    low, high = (-160, 240) if scan.min() < -500 else np.percentile(scan, (1, 99))
    colours = matplotlib.colormaps["tab20"].with_extremes(under=(0, 0, 0, 0))
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(3, 3)
    zooms = volumes[0].header.get_zooms()[:3]
    for axis in range(3):
        plane = int(np.argmax((truth > 0).sum(axis=tuple(a for a in range(3) if a != axis))))
        row, column = [a for a in range(3) if a != axis]
        view = {"origin": "lower", "aspect": zooms[column] / zooms[row]}
        for place, (title, mask) in enumerate((("image", None), ("label", truth), ("prediction", found))):
            panel = axes[axis, place]
            panel.imshow(np.take(scan, plane, axis).T, cmap="gray", vmin=low, vmax=high, **view)
            if mask is not None:
                classes = np.take(mask, plane, axis).T
                panel.imshow(classes, cmap=colours, vmin=0.5, vmax=20.5, alpha=0.6, **view, interpolation="none")
            panel.set_axis_off()
            if axis == 0:
                panel.set_title(title)
    figure.savefig(out / "overlay.png", dpi=110)
