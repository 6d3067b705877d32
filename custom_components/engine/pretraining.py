"""The pretraining engines.

`monai.engines.SupervisedTrainer` knows one prediction, one label and a loss it calls ``.mean()`` on. A
pretext network takes an image with its mask and validity, or two views with theirs, and its loss has parts that
are logged by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.engines.evaluator import Evaluator
from monai.engines.trainer import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.engines.workflow import Workflow
from monai.utils.enums import CommonKeys as Keys
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor, nn

from custom_components.metrics.pretext import pretext_accuracies

Batch = dict[str, Any]


def prepare_pretrain_batch(
    batch: Batch, device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Move image, mask, validity and volume ids of a batch to the device, as plain tensors.

    Returns:
        image ``(B, C, D, H, W)``; mask ``(B, 1, gd, gh, gw)``; valid ``(B, 1, D, H, W)``; volume_id ``(B,)``
        or ``None`` where the batch has none.

    Raises:
        ValueError: when the batch lacks the image, the mask or the validity.
    """
    image, mask, valid = _take(batch, ("image", "mask", "valid"), "a mask transform", device, non_blocking, kwargs)
    return image, mask, valid, _volume_ids(batch, device, non_blocking)


def prepare_view_batch(
    batch: Batch, device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Move two views, their validity and volume ids of a batch to the device, as plain tensors.

    Returns:
        both views ``(B, C, D, H, W)``; valid of each ``(B, 1, D, H, W)``; volume_id ``(B,)`` or ``None`` where the
        batch has none.

    Raises:
        ValueError: when the batch lacks a view or its validity.
    """
    keys = ("image", "image_2", "valid", "valid_2")
    one, two, valid_1, valid_2 = _take(batch, keys, "TwoViewsd", device, non_blocking, kwargs)
    return one, two, valid_1, valid_2, _volume_ids(batch, device, non_blocking)


def _take(
    batch: Batch,
    keys: Sequence[str],
    maker: str,
    device: torch.device | str | None,
    non_blocking: bool,
    kwargs: dict[str, Any],
) -> list[Tensor]:
    """Entries of a batch on the device; ``maker`` is what makes them, for the message."""
    missing = [key for key in keys if key not in batch]
    if missing:
        found = sorted(map(str, batch))
        raise ValueError(f"the batch has no {missing}; it has {found}. Is {maker} missing?")
    return [
        # track_meta=False: a MetaTensor would carry its bookkeeping through every operation of the step
        convert_to_tensor(batch[key], track_meta=False).to(device, non_blocking=non_blocking, **kwargs)
        for key in keys
    ]


def _volume_ids(batch: Batch, device: torch.device | str | None, non_blocking: bool) -> Tensor | None:
    ids = batch.get("volume_id")
    return None if ids is None else torch.as_tensor(ids).to(device, non_blocking=non_blocking).reshape(-1)


def _autocast(engine: Any) -> torch.autocast:
    """Mixed precision on the engine's own device type; bfloat16 unless ``amp_kwargs`` says otherwise."""
    kwargs = {"dtype": torch.bfloat16, **engine.amp_kwargs}
    return torch.autocast(engine.state.device.type, enabled=bool(engine.amp), **kwargs)


def _to_scalars(values: dict[str, Tensor]) -> dict[str, float]:
    """One transfer for all the parts: a ``.item()`` each would make the device wait as many times."""
    stacked = torch.stack([value.detach().float() for value in values.values()]).tolist()
    return dict(zip(values, stacked, strict=True))


def _check_finite(parts: dict[str, float], engine: Any) -> None:
    bad = [name for name, value in parts.items() if not -float("inf") < value < float("inf")]
    if bad:
        raise ValueError(
            f"epoch {engine.state.epoch}, iteration {engine.state.iteration}: {bad} not finite in {parts}; "
            "lower the learning rate, or use bfloat16 or no mixed precision; the last saved files are untouched"
        )


class PretrainTrainer(SupervisedTrainer):
    """`SupervisedTrainer` whose step feeds a pretext network and keeps every part of the loss.

    ``network`` takes what ``prepare_batch`` returns but for the volume ids, by default image, mask and valid
    (`prepare_pretrain_batch`), or two views (`prepare_view_batch`). It returns a dictionary;
    ``loss_function(outputs, volume_id)`` returns ``{"loss": total, part: …}``. ``engine.state.output`` is that
    dictionary as floats. Mixed precision (bfloat16 by default, on CUDA or CPU), gradient accumulation, gradient
    clipping and MONAI's iteration events are honoured; the GradScaler is used for float16 on CUDA only.

    Args:
        grad_clip: largest L2 norm of the gradient; ``None`` clips nothing.
        kwargs: as for `SupervisedTrainer`; ``decollate`` is off, for the output holds no batch.
    """

    def __init__(self, *, grad_clip: float | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("prepare_batch", prepare_pretrain_batch)
        super().__init__(decollate=False, **kwargs)
        self.grad_clip = grad_clip

    def run(self) -> None:  # type: ignore[override]
        """Run; as `Trainer.run`, but with a GradScaler only where one is of use."""
        half = self.amp and self.amp_kwargs.get("dtype") is torch.float16 and self.state.device.type == "cuda"
        self.scaler: Any = torch.amp.GradScaler("cuda", enabled=half)
        Workflow.run(self)  # not Trainer.run, which would make its own scaler

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
        # Outside autocast: sums over many voxels and log-sum-exp want float32.
        values = engine.loss_function(outputs, volume_id)
        engine.state.output = _to_scalars(values)
        _check_finite(engine.state.output, engine)
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.scaler.scale(values[Keys.LOSS] / engine.accumulation_steps).backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if last:
            self._step(engine)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output

    @staticmethod
    def _accumulation(engine: Any) -> tuple[bool, bool]:
        """Whether this iteration is the first and the last of those that share an optimizer step."""
        steps, length = engine.accumulation_steps, engine.state.epoch_length
        local = engine.state.iteration - 1
        if length is not None:
            local %= length
        return local % steps == 0, (local + 1) % steps == 0 or local + 1 == length

    @staticmethod
    def _step(engine: Any) -> None:
        if engine.grad_clip is not None:
            engine.scaler.unscale_(engine.optimizer)
            nn.utils.clip_grad_norm_(engine.network.parameters(), engine.grad_clip)
        engine.scaler.step(engine.optimizer)
        engine.scaler.update()


class PretrainEvaluator(Evaluator):
    """Evaluates a pretext network; ``engine.state.output`` holds loss parts and region accuracies as floats.

    ``engine.state.last_outputs`` keeps the network's outputs of the latest batch for pictures.

    Args:
        network: the pretext network.
        loss_function: as in `PretrainTrainer`.
        scores: a function of the network's outputs that returns named scalars; None: no scores.
        kwargs: as for `monai.engines.Evaluator`.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        loss_function: Callable[..., dict[str, Tensor]],
        scores: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = pretext_accuracies,
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
                values |= engine.scores(outputs)
        engine.state.last_outputs, engine.state.last_batch = outputs, tuple(inputs)
        engine.state.output = _to_scalars(values)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output
