"""Pictures of an image, its mask and its reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from custom_components.atomic import write_atomically
from custom_components.data.names import case_id

TITLES = ("image", "masked", "reconstruction", "combined")


def reconstruction_panel(image: Tensor, mask: Tensor, reconstruction: Tensor, channel: int = 0) -> Figure:
    """Draw the central plane along each axis: image, masked image, reconstruction, and both combined.

    The combined picture shows the reconstruction in masked voxels and the image elsewhere.

    Args:
        image: ``(C, D, H, W)``.
        mask: bool ``(1, D, H, W)`` on voxels, True = masked.
        reconstruction: ``(C, D, H, W)``.
        channel: index of the channel to draw.
    """
    volume, other = (t[channel].float().cpu().numpy() for t in (image, reconstruction))
    masked = mask[0].bool().cpu().numpy()
    low, high = np.percentile(volume, (0.5, 99.5))
    rows = (volume, np.where(masked, np.nan, volume), other, np.where(masked, other, volume))
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    axes = figure.subplots(3, 4)
    cmap = matplotlib.colormaps["gray"].with_extremes(bad="#7a4a1e")
    for axis in range(3):
        for column, (title, data) in enumerate(zip(TITLES, rows, strict=True)):
            plane = np.rot90(np.take(data, volume.shape[axis] // 2, axis=axis))
            axes[axis, column].imshow(plane, cmap=cmap, vmin=low, vmax=max(high, low + 1e-6))
            axes[axis, column].set_axis_off()
            if axis == 0:
                axes[axis, column].set_title(title)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    write_atomically(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


class SaveReconstructionPaneld:
    """Post-processing transform: writes a PNG panel per volume, ``<output_dir>/<case>/<case>_panel.png``.

    Args:
        output_dir: folder of the pictures.
        image_key: the whole image ``(C, D, H, W)``, with its file name in the metadata.
        masked_key: mask on voxels ``(1, D, H, W)``.
        pred_key: the reconstruction ``(C, D, H, W)``.
        channel: index of the channel to draw.
    """

    def __init__(
        self,
        output_dir: str,
        image_key: str = "original",
        masked_key: str = "masked_voxels",
        pred_key: str = "pred",
        channel: int = 0,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.image_key, self.masked_key, self.pred_key, self.channel = image_key, masked_key, pred_key, channel

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Write the panel and return ``data`` unchanged."""
        image = data[self.image_key]
        case = case_id(str(getattr(image, "meta", {}).get("filename_or_obj", "volume")))
        figure = reconstruction_panel(image, data[self.masked_key], data[self.pred_key], self.channel)
        save_figure(figure, self.output_dir / case / f"{case}_panel.png")
        return data
