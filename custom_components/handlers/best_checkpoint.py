"""Keeping the best weights: plain tensors with a card, replaced only by better ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from custom_components.atomic import save_tensors
from custom_components.distributed import rank
from custom_components.transfer import write_card

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """Save networks whenever a validation metric improves.

    MONAI's `CheckpointSaver` forgets the best value when a run resumes, and an interruption may leave half a file.
    This handler does neither, and it writes the weights card. Files hold a flat ``state_dict`` of tensors.

    Args:
        save_dir: folder of the files.
        files: file name -> module (unwrapped, so that no key begins with ``module.``); all are saved together.
        key_metric: name in the evaluator's ``state.metrics``.
        mode: ``"max"`` or ``"min"``: which values are better.
        card: content of the card, see `custom_components.transfer.write_card`.

    Raises:
        ValueError: for another ``mode`` or no files; in a validation that does not measure ``key_metric``.
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
            raise ValueError(
                f"key_metric is {self.key_metric!r}; the evaluator measures {sorted(engine.state.metrics)}"
            )
        value = float(engine.state.metrics[self.key_metric])
        better = self.best is None or (value > self.best if self.mode == "max" else value < self.best)
        if value != value or not better:  # NaN is never better
            return
        self.best, self.best_epoch = value, int(getattr(engine.state, "epoch", 0))
        if rank() == 0:
            self._save(value)

    def _save(self, value: float) -> None:
        for name, module in self.files.items():
            path = self.save_dir / name
            save_tensors(path, {k: v.detach().cpu() for k, v in module.state_dict().items()})
            write_card(path, {**self.card, "metric": {self.key_metric: value}, "epoch": self.best_epoch})
        names = list(self.files)
        logger.info("best %s so far: %.5f; saved %s in %s", self.key_metric, value, names, self.save_dir)
