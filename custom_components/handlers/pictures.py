"""Pictures of reconstructions during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.engine import reconstruction_panel, save_figure
from custom_components.handlers.tensorboard_log import events_fault
from custom_components.masking import mask_to_voxels


class ReconstructionPictures:
    """After each validation, draw the first sample of its last batch for TensorBoard and as a PNG.

    Args:
        log_dir: TensorBoard folder; None: no event file.
        output_dir: folder of ``reconstruction.png``, which holds the latest picture; None: no PNG.
        channel: index of the image channel to draw.
    """

    def __init__(self, log_dir: str | None = None, output_dir: str | None = None, channel: int = 0) -> None:
        self.log_dir = log_dir
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.channel = channel
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Attach to a `PretrainEvaluator`."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Draw; does nothing if the outputs hold no reconstruction."""
        outputs = engine.state.last_outputs
        if outputs is None or "reconstruction" not in outputs:
            return
        image, mask, *_ = engine.state.last_batch
        masked = mask_to_voxels(mask[:1], engine.network.patch_size)[0]
        # The rescaled one, if it exists, is in the image's unit.
        reconstruction = outputs.get("rescaled_reconstruction", outputs["reconstruction"])
        figure = reconstruction_panel(image[0], masked, reconstruction[0], self.channel)
        if self.output_dir is not None:
            save_figure(figure, self.output_dir / "reconstruction.png")
        if self.log_dir is not None:
            try:
                self._open().add_figure("reconstruction", figure, engine.state.epoch)
                self._writer.flush()
            except OSError as error:
                raise events_fault(self.log_dir, error) from error

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always needed

            self._writer = SummaryWriter(self.log_dir)
        return self._writer
