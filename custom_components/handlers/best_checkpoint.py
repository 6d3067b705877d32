"""Keeping the best weights: plain tensors with a card, replaced only by better ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from custom_components.atomic import json_text, partial_path, write_tensors, write_together
from custom_components.distributed import rank
from custom_components.faults import Fault
from custom_components.finite import first_not_finite
from custom_components.transfer import card_content, card_path

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """Save networks whenever a validation metric improves.

    MONAI's `CheckpointSaver` forgets the best value when a run resumes, and an interruption may leave half a file.
    This handler does neither, and it writes the weights card. Files hold a flat ``state_dict`` of tensors. All
    files and cards of one validation replace the earlier ones together, or none does. A metric that is NaN or
    infinite never counts as better.

    Args:
        save_dir: folder of the files.
        files: file name -> module (unwrapped, so that no key begins with ``module.``); all are saved together.
        key_metric: name in the evaluator's ``state.metrics``.
        mode: ``"max"`` or ``"min"``: which values are better.
        card: content of the card, see `custom_components.transfer.write_card`.

    Raises:
        ValueError: for another ``mode`` or no files.
        Fault: for a validation that does not measure ``key_metric``, weights that are not finite, or a full disk.
    """

    def __init__(
        self,
        save_dir: str,
        files: Mapping[str, nn.Module],
        key_metric: str,
        mode: str = "max",
        card: Mapping[str, Any] | None = None,
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is {mode!r}; allowed: 'max', 'min'")
        if not files:
            raise ValueError("files is empty; name at least one file and its module")
        self.save_dir = Path(save_dir)
        self.files = dict(files)
        self.key_metric = key_metric
        self.mode = mode
        self.card = dict(card or {})
        self.best: float | None = None
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator, after its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"best": self.best, "best_epoch": self.best_epoch, "key_metric": self.key_metric, "mode": self.mode}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the best value; with a warning, forget it if it belongs to another metric or mode."""
        # Older files do not record the metric; assume that it is this one.
        saved = (state.get("key_metric", self.key_metric), state.get("mode", self.mode))
        if saved != (self.key_metric, self.mode):
            logger.warning(
                "the best %s (%s) so far is %s, but this run uses %s (%s): the value is forgotten, and the next "
                "validation replaces %s",
                *(*saved, state["best"], self.key_metric, self.mode, list(self.files)),
            )
            self.best, self.best_epoch = None, 0
            return
        self.best, self.best_epoch = state["best"], state["best_epoch"]

    def __call__(self, engine: Engine) -> None:
        """Compare, and save on rank 0 if the value is better."""
        if self.key_metric not in engine.state.metrics:
            raise Fault(
                f"key_metric is {self.key_metric!r}; the evaluator measures {sorted(engine.state.metrics)}"
            )
        value = float(engine.state.metrics[self.key_metric])
        epoch = int(getattr(engine.state, "epoch", 0))
        if not math.isfinite(value):
            logger.warning("%s is %s in epoch %d: these weights are not saved", self.key_metric, value, epoch)
            return
        if self.best is not None and not (value > self.best if self.mode == "max" else value < self.best):
            return
        if rank() == 0:
            self._save(value, epoch)
        self.best, self.best_epoch = value, epoch

    def _save(self, value: float, epoch: int) -> None:
        writers: dict[Path, Callable[[Path], object]] = {}
        for name, module in self.files.items():
            path = self.save_dir / name
            state = {k: v.detach().cpu() for k, v in module.state_dict().items()}
            check_finite(state, path, epoch)
            writers[path] = lambda partial, state=state: write_tensors(partial, state)  # type: ignore[misc]
            card = {**self.card, "metric": {self.key_metric: value}, "epoch": epoch}
            writers[card_path(path)] = lambda partial, path=path, card=card: partial.write_text(  # type: ignore[misc]
                json_text(card_content(partial_path(path), card)), encoding="utf-8"
            )
        write_together(writers)
        names = list(self.files)
        logger.info("best %s so far: %.5f; saved %s in %s", self.key_metric, value, names, self.save_dir)


def check_finite(state: Mapping[str, Any], path: Path, epoch: int) -> None:
    """Raise Fault if a tensor is not finite, naming it and the file that keeps its earlier content."""
    if (name := first_not_finite(state)) is not None:
        kept = "keeps its earlier content" if path.exists() else "is not written"
        raise Fault(
            f"{path} {kept}: after epoch {epoch} {name} holds NaN or infinity; lower the learning rate, or use"
            " bfloat16 or no mixed precision"
        )
