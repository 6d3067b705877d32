"""Sanity validation: try the largest validation case before the first epoch, to find out if memory is enough."""

from __future__ import annotations

import gc
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.engines.evaluator import SupervisedEvaluator
from torch import Tensor, nn

from custom_components.checks.all_ranks import run_on_all_ranks
from custom_components.checks.memory import free_memory
from custom_components.checks.volumes import image_header
from custom_components.data.names import Item, first_image
from custom_components.machine import readable

# Messages of a RuntimeError when memory runs out: CUDA, torch on the CPU (Linux, Windows), cuDNN and cuBLAS.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def sanity_validate(
    evaluator: SupervisedEvaluator,
    postprocessing: Callable[..., Any] | None = None,
    spacing: Sequence[float] | None = None,
    enabled: bool = True,
) -> None:
    """Validate the largest case once, as the evaluator would, and print its size, seconds and peak GPU memory.

    Dataset, collation, network, inferer, AMP and postprocessing are the evaluator's. Its metrics, handlers and
    state are not touched, and the global random generators keep their state. The largest case is the one with most
    voxels by the files' headers; cropping to the foreground may make another one larger. Each rank tries its own
    cases; if a case does not fit on one rank, all ranks end.

    In a config, build the training dataset first (``_requires_``), so that its cache has taken its memory. On the
    CPU the system may kill a process instead of refusing memory, so the size of the stitched prediction (output
    and count map of MONAI's sliding window) is compared with the free memory as soon as the first window is
    computed. On a GPU the gradients and the optimizer's state come with the first training steps: a case that only
    just fits here may not fit then.

    Args:
        evaluator: with a data loader whose dataset has ``data``: items with ``image``, a path or one per channel.
        postprocessing: the evaluator's postprocessing; SupervisedEvaluator does not expose it.
        spacing: mm per axis that volumes are resampled to; None: their own.
        enabled: False: do nothing.

    Raises:
        SystemExit: when memory runs out, with one line that names the case, its size and the keys to change.
        RuntimeError: for any other failure of the validation; names the case.
    """
    if enabled:
        run_on_all_ranks(lambda: _validate_largest(evaluator, postprocessing, spacing))


def largest_case(items: Sequence[Item], spacing: Sequence[float] | None) -> tuple[int, int]:
    """Return the index of the (first) item with most voxels after resampling, and the number, by the headers.

    Args:
        items: the cases, at least one.
        spacing: mm per axis that they are resampled to; None: their own.
    """
    headers = [image_header(first_image(item)) for item in items]
    scale = [math.prod(header.spacing) / math.prod(spacing) if spacing else 1.0 for header in headers]
    voxels = [round(math.prod(header.spatial_shape) * s) for header, s in zip(headers, scale, strict=True)]
    index = voxels.index(max(voxels))
    return index, voxels[index]


class _Attempt:
    """One case during its validation, and what is known of its size so far."""

    def __init__(self, evaluator: SupervisedEvaluator, path: str, voxels: int) -> None:
        self.path = path
        self.size = f"about {voxels:,} voxels"
        self.prediction = ""
        self.refused = False
        self.device = torch.device(evaluator.state.device)
        self.sw_output_device = torch.device(getattr(evaluator.inferer, "device", None) or self.device)
        self._bytes_per_channel = self._bytes_of_counts = 0

    def loaded(self, image: Tensor) -> None:
        """Note the size of the batch, ``(B, C, D, H, W)``; the inferer stitches volumes of the same type."""
        self.size = " x ".join(str(n) for n in image.shape[2:]) + " voxels"
        self._bytes_of_counts = image.element_size() * math.prod(image.shape[2:])
        self._bytes_per_channel = self._bytes_of_counts * image.shape[0]

    def first_window(self, network: nn.Module, inputs: Any, output: Any) -> None:
        """Forward hook: compute the size of the stitched prediction, and raise MemoryError if it cannot fit."""
        if self.prediction or not isinstance(output, Tensor):
            return
        channels = output.shape[1]
        needed = self._bytes_per_channel * channels + self._bytes_of_counts
        self.prediction = (
            f", {channels} output channels, about {readable(needed)} stitched on {self.sw_output_device.type}"
        )
        if self.sw_output_device.type == "cpu" and needed > (free := free_memory()):
            self.prediction += f", {readable(free)} free"
            self.refused = True
            raise MemoryError

    def advice(self, windows: int | None, spacing: Sequence[float] | None) -> str:
        """Return the message for a case that runs out of memory."""
        changes = []
        if self.sw_output_device.type != "cpu":
            changes.append(f"set sw_output_device to cpu (now {self.sw_output_device})")
        if windows != 1 and not self.refused:
            changes.append("lower sw_batch_size" + (f" (now {windows})" if windows else ""))
        changes.append("choose a coarser spacing" + (f" (now {list(spacing)} mm)" if spacing else ""))
        return (
            f"validation runs out of memory on its largest case, {self.path} ({self.size}{self.prediction}):"
            f" {' or '.join(changes)}"
        )


def _validate_largest(
    evaluator: SupervisedEvaluator, postprocessing: Callable[..., Any] | None, spacing: Sequence[float] | None
) -> str:
    """Try the largest case, and return the line to print."""
    loader: Any = evaluator.data_loader
    items: Sequence[Item] = loader.dataset.data
    if len(items) == 0:
        return "sanity validation: no validation case"
    index, voxels = largest_case(items, spacing)
    attempt = _Attempt(evaluator, first_image(items[index]), voxels)
    on_gpu = attempt.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(attempt.device)
    start = time.perf_counter()
    try:
        with _random_state_kept(attempt.device):
            _validate(evaluator, postprocessing, index, attempt)
    except Exception as error:
        if _is_out_of_memory(error):
            windows = getattr(evaluator.inferer, "sw_batch_size", None)
            raise ValueError(attempt.advice(windows, spacing)) from None
        raise RuntimeError(f"validation fails on {attempt.path}") from error
    seconds = time.perf_counter() - start
    gc.collect()  # the engine and its prediction refer to each other
    message = f"sanity validation of the largest case, {attempt.path}: {attempt.size}, {seconds:.1f} s"
    if on_gpu:
        message += f", GPU peak {readable(torch.cuda.max_memory_allocated(attempt.device))}"
        torch.cuda.empty_cache()
    return message


def _validate(
    evaluator: SupervisedEvaluator, postprocessing: Callable[..., Any] | None, index: int, attempt: _Attempt
) -> None:
    """Run one batch through an evaluator like the given one, but without metrics and handlers."""
    loader: Any = evaluator.data_loader
    copies = min(loader.batch_size or 1, len(loader.dataset))
    batch = loader.collate_fn([loader.dataset[index]] * copies)
    attempt.loaded(batch["image"])
    runner: Any = SupervisedEvaluator(
        device=attempt.device,
        val_data_loader=[batch],
        network=evaluator.network,
        non_blocking=evaluator.non_blocking,
        prepare_batch=evaluator.prepare_batch,
        inferer=evaluator.inferer,
        postprocessing=postprocessing,  # type: ignore[arg-type]  # MONAI calls it as any callable
        amp=evaluator.amp,
        amp_kwargs=evaluator.amp_kwargs,
        to_kwargs=evaluator.to_kwargs,
    )
    runner.mode, runner.compile = evaluator.mode, evaluator.compile
    runner.logger = logging.Logger("sanity_validation", logging.CRITICAL + 1)  # silent
    hook = evaluator.network.register_forward_hook(attempt.first_window)
    try:
        runner.run()
    finally:
        hook.remove()
    if attempt.device.type == "cuda":
        torch.cuda.synchronize(attempt.device)


@contextmanager
def _random_state_kept(device: torch.device) -> Iterator[None]:
    """Restore the global generators, so that a run draws the same with and without a sanity validation."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - MONAI draws from the global one
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether this exception, or one that it wraps (MONAI wraps transforms), reports a lack of memory."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
