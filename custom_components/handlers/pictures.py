"""Pictures of what a pretext network sees and paints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from torch import Tensor

from custom_components.masking import mask_to_voxels

TITLES = ("image", "masked", "reconstruction", "pasted")


def reconstruction_panel(image: Tensor, mask: Tensor, reconstruction: Tensor, channel: int = 0) -> Figure:
    """Three central planes of one volume: image, masked image, reconstruction, reconstruction in the holes.

    Args:
        image: ``(C, D, H, W)``.
        mask: bool ``(1, D, H, W)`` on voxels, True = hidden.
        reconstruction: ``(C, D, H, W)``.
        channel: which channel is drawn.
    """
    volume, painted = image[channel].float().cpu().numpy(), reconstruction[channel].float().cpu().numpy()
    hidden = mask[0].bool().cpu().numpy()
    low, high = np.percentile(volume, (0.5, 99.5))
    rows = (volume, np.where(hidden, np.nan, volume), painted, np.where(hidden, painted, volume))
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
    """Write a PNG under a temporary name and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=110)
    os.replace(temporary, path)


class SaveReconstructionPaneld:
    """Post-processing transform: one PNG panel per volume, ``<output_dir>/<case>/<case>_panel.png``.

    Args:
        output_dir: folder of the pictures.
        image_key: the whole image ``(C, D, H, W)``, with its file name in the metadata.
        masked_key: mask on voxels ``(1, D, H, W)``.
        pred_key: the reconstruction ``(C, D, H, W)``.
        channel: which channel is drawn.
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
        """Draw, and return ``data`` as it was."""
        image = data[self.image_key]
        name = Path(str(getattr(image, "meta", {}).get("filename_or_obj", "volume"))).name
        case = name.removesuffix(".gz").removesuffix(".nii")
        figure = reconstruction_panel(image, data[self.masked_key], data[self.pred_key], self.channel)
        save_figure(figure, self.output_dir / case / f"{case}_panel.png")
        return data


class ReconstructionPictures:
    """After each validation, draw the first sample of its last batch to TensorBoard and to a PNG.

    Args:
        log_dir: TensorBoard folder; ``None`` writes no event file.
        output_dir: folder of ``reconstruction.png`` (the latest); ``None`` writes none.
        channel: which image channel is drawn.
    """

    def __init__(
        self,
        log_dir: str | None = None,
        output_dir: str | None = None,
        channel: int = 0,
    ) -> None:
        self.log_dir = log_dir
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.channel = channel
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to a `PretrainEvaluator`."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._flush)

    def __call__(self, engine: Engine) -> None:
        """Draw."""
        state: Any = engine.state  # a PretrainEvaluator's, which ignite's type does not know
        outputs = state.last_outputs
        if outputs is None or "reconstruction" not in outputs:
            return
        image, mask, *_ = state.last_batch
        size = [voxels // patches for voxels, patches in zip(image.shape[2:], mask.shape[2:], strict=True)]
        hidden = mask_to_voxels(mask[:1], tuple(size))[0]
        painted = outputs.get("painting", outputs["reconstruction"])  # the former has the image's unit
        figure = reconstruction_panel(image[0], hidden, painted[0], self.channel)
        if self.output_dir is not None:
            save_figure(figure, self.output_dir / "reconstruction.png")
        if self.log_dir is not None:
            self._open().add_figure("reconstruction", figure, engine.state.epoch)

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always wanted

            self._writer = SummaryWriter(self.log_dir)
        return self._writer

    def _flush(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.flush()
