"""The pretraining engines.

`monai.engines.SupervisedTrainer` expects one prediction, one label and one loss. A pretext network takes an image
with its mask and validity, or two views with theirs, and its loss has several terms that are logged by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from monai.engines.evaluator import Evaluator
from monai.engines.trainer import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from monai.utils.enums import CommonKeys as Keys
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor, nn

from custom_components.engine.batch_files import not_finite
from custom_components.engine.precision import autocast
from custom_components.faults import Fault
from custom_components.metrics import pretext_scores

Batch = dict[str, Any]
Device = torch.device | str | None


def prepare_pretrain_batch(
    batch: Batch, device: Device = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor | None, ...]:
    """Move image, mask, validity and volume ids of a batch to the device, as plain tensors.

    Returns:
        image ``(B, C, D, H, W)``; mask ``(B, 1, gd, gh, gw)``; valid ``(B, 1, D, H, W)``; volume_id ``(B,)``
        or None if the batch has none.

    Raises:
        Fault: if the batch lacks the image, the mask or the validity.
    """
    return _prepare(batch, ("image", "mask", "valid"), "a mask transform", device, non_blocking, **kwargs)


def prepare_view_batch(
    batch: Batch, device: Device = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor | None, ...]:
    """Move two views, their validity and volume ids of a batch to the device, as plain tensors.

    Returns:
        both views ``(B, C, D, H, W)``; the validity of each ``(B, 1, D, H, W)``; volume_id ``(B,)`` or None if the
        batch has none.

    Raises:
        Fault: if the batch lacks a view or its validity.
    """
    keys = ("image", "image_2", "valid", "valid_2")
    return _prepare(batch, keys, "TwoViewsd", device, non_blocking, **kwargs)


def _prepare(
    batch: Batch, keys: Sequence[str], source: str, device: Device, non_blocking: bool, **kwargs: Any
) -> tuple[Tensor | None, ...]:
    """Move the named entries and the volume ids to the device; ``source`` makes the entries, for the message."""
    missing = [key for key in keys if key not in batch]
    if missing:
        found = sorted(map(str, batch))
        raise Fault(f"the batch has no {missing}; it has {found}. Is {source} missing?")
    # track_meta=False: a MetaTensor would carry its metadata through every operation of the step
    entries = [
        convert_to_tensor(batch[key], track_meta=False).to(device, non_blocking=non_blocking, **kwargs)
        for key in keys
    ]
    ids = batch.get("volume_id")
    if ids is not None:
        ids = torch.as_tensor(ids).to(device, non_blocking=non_blocking).reshape(-1)
    return *entries, ids


def _autocast(engine: Any) -> AbstractContextManager[None]:
    """Return mixed precision for the engine's device; bfloat16 unless ``amp_kwargs`` names another dtype."""
    return autocast(engine.state.device, bool(engine.amp), **engine.amp_kwargs)


def _to_scalars(values: dict[str, Tensor]) -> dict[str, float]:
    """Convert all values in one transfer; one ``.item()`` each would make the host wait as many times."""
    stacked = torch.stack([value.detach().float() for value in values.values()]).tolist()
    return dict(zip(values, stacked, strict=True))


class PretrainTrainer(SupervisedTrainer):
    """A trainer for pretext networks that keeps every term of the loss.

    ``prepare_batch`` returns the network's inputs and, last, the volume ids: image, mask and valid
    (`prepare_pretrain_batch`, the default), or two views and theirs (`prepare_view_batch`). ``network`` returns a
    dictionary. ``loss_function(outputs, volume_id)`` returns ``{"loss": total, term: …}``, which is
    ``engine.state.output`` as floats. Mixed precision (bfloat16 by default, on CUDA or CPU), gradient accumulation
    and MONAI's iteration events work as in `SupervisedTrainer`. A GradScaler is used only for float16 on CUDA.

    Args:
        grad_clip: largest L2 norm of the gradient; None: no clipping.
        kwargs: as for `SupervisedTrainer`, without ``decollate``: the output holds no batch.
    """

    def __init__(self, *, grad_clip: float | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("prepare_batch", prepare_pretrain_batch)
        super().__init__(decollate=False, **kwargs)
        self.grad_clip = grad_clip

    def run(self) -> None:  # type: ignore[override]
        """Run as `Trainer.run` does, but with a GradScaler only where one is needed."""
        half = self.amp and self.amp_kwargs.get("dtype") is torch.float16 and self.state.device.type == "cuda"
        self.scaler: Any = torch.amp.GradScaler("cuda", enabled=half)
        Workflow.run(self)  # Trainer.run would replace the scaler

    def _iteration(self, engine: Any, batchdata: Batch) -> dict[str, float]:
        batch = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        *inputs, volume_id = batch
        first, last = self._accumulation(engine)
        engine.network.train()
        if first:
            engine.optimizer.zero_grad(set_to_none=True)
        with _autocast(engine):
            outputs = engine.network(*inputs)
            engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        # Outside autocast: sums over many voxels and log-sum-exp need float32.
        values = engine.loss_function(outputs, volume_id)
        engine.state.output = _to_scalars(values)
        self._check_finite(engine, batchdata)
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.scaler.scale(values[Keys.LOSS] / engine.accumulation_steps).backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if last:
            self._step(engine)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    @staticmethod
    def _accumulation(engine: Any) -> tuple[bool, bool]:
        """Return whether this iteration is the first, and the last, of those that share an optimizer step."""
        steps, length = engine.accumulation_steps, engine.state.epoch_length
        local = engine.state.iteration - 1
        if length is not None:
            local %= length
        return local % steps == 0, (local + 1) % steps == 0 or local + 1 == length

    @staticmethod
    def _check_finite(engine: Any, batchdata: Batch) -> None:
        values = engine.state.output
        bad = [name for name, value in values.items() if not -float("inf") < value < float("inf")]
        if bad:
            raise Fault(not_finite(engine, f"{bad} not finite in {values}", batchdata))

    @staticmethod
    def _step(engine: Any) -> None:
        if engine.grad_clip is not None:
            engine.scaler.unscale_(engine.optimizer)
            nn.utils.clip_grad_norm_(engine.network.parameters(), engine.grad_clip)
        engine.scaler.step(engine.optimizer)
        engine.scaler.update()


class PretrainEvaluator(Evaluator):
    """An evaluator for pretext networks; ``engine.state.output`` holds loss terms and scores as floats.

    For pictures, ``engine.state.last_outputs`` and ``last_batch`` keep the network's outputs and inputs of the
    latest batch.

    Args:
        network: the pretext network.
        loss_function: as in `PretrainTrainer`.
        scores: returns named scalars from the network's outputs, the validity ``(B, 1, D, H, W)`` and the
            network's ``patch_size`` (None if it masks nothing); None: no scores.
        kwargs: as for `monai.engines.Evaluator`.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        loss_function: Callable[..., dict[str, Tensor]],
        scores: Callable[..., dict[str, Tensor]] | None = pretext_scores,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("prepare_batch", prepare_pretrain_batch)
        super().__init__(decollate=False, **kwargs)
        self.network = network
        self.loss_function = loss_function
        self.scores = scores
        self.state.last_outputs = None
        self.state.last_batch = None

    def _iteration(self, engine: Any, batchdata: Batch) -> dict[str, float]:
        batch = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        *inputs, volume_id = batch
        with engine.mode(engine.network), _autocast(engine):
            outputs = engine.network(*inputs)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        with torch.no_grad():
            values = dict(engine.loss_function(outputs, volume_id))
            if engine.scores is not None:
                # inputs[2] is the validity of the image, or of the first view
                patch_size = getattr(engine.network, "patch_size", None)
                values |= engine.scores(outputs, inputs[2], patch_size)
        engine.state.last_outputs, engine.state.last_batch = outputs, tuple(inputs)
        engine.state.output = _to_scalars(values)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output
