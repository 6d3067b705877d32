"""Pictures of segmented volumes: image, label and predictions side by side, with a legend of the classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from custom_components.data.nifti import open_image

SOFT_TISSUE = (-160, 240)  # HU
_COLOURS = 20  # of the colour map


def draw_volumes(
    target: Path,
    image: Path,
    label: Path,
    predictions: Mapping[str, Path],
    class_names: Sequence[str] = (),
    title: str = "",
    convert: Callable[[np.ndarray], np.ndarray] = lambda label: label,
) -> None:
    """Write a picture: image, label and predictions on three planes.

    Along each axis it shows the plane with the most labelled voxels.

    Args:
        target: the PNG to write.
        image: 3D file, or 4D with the channels last; the first channel is shown.
        label: classes as integers.
        predictions: title -> classes as integers, on the label's grid.
        class_names: names of the classes from 1, for the legend; empty: no legend.
        title: above the picture.
        convert: brings the label's values to those of the predictions.
    """
    files = {"image": image, "label": label, **predictions}
    volumes = {name: nib.as_closest_canonical(open_image(str(path))) for name, path in files.items()}
    arrays = {name: np.asarray(volume.dataobj).squeeze() for name, volume in volumes.items()}
    arrays["label"] = convert(arrays["label"])
    scan, truth = arrays.pop("image"), arrays["label"]
    scan = scan[..., 0] if scan.ndim == 4 else scan
    # CT holds air, below -500 HU.
    window = SOFT_TISSUE if scan.min() < -500 else tuple(np.percentile(scan, (1, 99)))
    zooms = volumes["image"].header.get_zooms()[:3]
    columns: dict[str, Any] = {"image": None, **arrays}
    figure = Figure(figsize=(3.3 * len(columns), 9), layout="constrained")
    axes = figure.subplots(3, len(columns))
    for axis in range(3):
        row, column = others = [other for other in range(3) if other != axis]
        plane = int(np.argmax((truth > 0).sum(axis=tuple(others))))
        view = {"origin": "lower", "aspect": zooms[column] / zooms[row]}
        for panel, mask in zip(axes[axis], columns.values(), strict=True):
            _draw_panel(panel, np.take(scan, plane, axis), window, view)
            if mask is not None:
                _draw_classes(panel, np.take(mask, plane, axis), view)
    for panel, name in zip(axes[0], columns, strict=True):
        panel.set_title(name)
    if class_names:
        _add_legend(figure, class_names)
    if title:
        figure.suptitle(title)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def _colours() -> Any:
    return matplotlib.colormaps["tab20"].with_extremes(under=(0, 0, 0, 0))


def _draw_panel(panel: Any, plane: np.ndarray, window: tuple[float, ...], view: dict[str, Any]) -> None:
    panel.imshow(plane.T, cmap="gray", vmin=window[0], vmax=window[1], **view)
    panel.set_axis_off()


def _draw_classes(panel: Any, classes: np.ndarray, view: dict[str, Any]) -> None:
    limits = {"vmin": 0.5, "vmax": _COLOURS + 0.5}
    panel.imshow(classes.T, cmap=_colours(), alpha=0.6, interpolation="none", **limits, **view)


def _add_legend(figure: Figure, class_names: Sequence[str]) -> None:
    patches = [
        Patch(color=_colours()((value - 0.5) / _COLOURS), label=f"{value} {name}")
        for value, name in enumerate(class_names, 1)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(7, len(patches)))
