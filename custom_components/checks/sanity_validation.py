"""The largest validation case, tried before the first epoch: too little memory shows at once, not after hours."""

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
from custom_components.checks.memory import free_memory, readable
from custom_components.data.layouts import Item, first_image
from custom_components.data.nifti import read_header

# What a RuntimeError says where memory ran out: CUDA, torch on the CPU (Linux, Windows), cuDNN and cuBLAS.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def sanity_validate(
    evaluator: SupervisedEvaluator,
    postprocessing: Callable[..., Any] | None = None,
    spacing: Sequence[float] | None = None,
    enabled: bool = True,
    train_dataset: Any = None,
) -> None:
    """Validate the largest case once, as the evaluator would, and print its size, seconds and peak GPU memory.

    Dataset, collation, network, inferer, AMP and postprocessing are the evaluator's; its metrics, handlers and
    state are not touched, and the global random generators are as before. The largest case is that of most voxels
    by the files' headers; cropping to the foreground may make another one the largest. Each rank tries its own
    cases; where one rank's do not fit, all ranks end.

    On the CPU the system may kill a process rather than refuse it memory: the stitched prediction (output and
    count map of MONAI's sliding window) is compared with the free memory as soon as the first window is computed,
    before it is allocated. On a GPU the optimizer's state and the gradients come later, with the first steps: a
    case that only just fits here may not fit then.

    Args:
        evaluator: with a data loader whose dataset has ``data``: items with ``image``, a path or one per channel.
        postprocessing: the evaluator's (which does not tell).
        spacing: mm that volumes are resampled to, per axis; None: their own.
        enabled: False: do nothing.
        train_dataset: the training's, or None; not read. Given in a config it is built before this function is
            called, and its cache takes its memory, as it will have when validation comes.

    Raises:
        SystemExit: with one line that names the case, its size and the keys to change, when memory runs out; any
            other failure of the validation is a RuntimeError that names the case.
    """
    del train_dataset  # it is an argument so that it has been built
    if enabled:
        run_on_all_ranks(lambda: _rehearse(evaluator, postprocessing, spacing))


def largest_case(items: Sequence[Item], spacing: Sequence[float] | None) -> tuple[int, int]:
    """Index of the item with most voxels (the first of equals), and how many: by the headers, after resampling.

    Args:
        items: the cases, at least one.
        spacing: mm per axis that they are resampled to; None: their own.
    """
    headers = [read_header(first_image(item)) for item in items]
    mm3 = [math.prod(header.spacing) / math.prod(spacing) if spacing else 1.0 for header in headers]
    voxels = [round(math.prod(header.spatial_shape) * share) for header, share in zip(headers, mm3, strict=True)]
    index = voxels.index(max(voxels))
    return index, voxels[index]


class _Attempt:
    """One case on its way through validation, and what is known of it so far."""

    def __init__(self, evaluator: SupervisedEvaluator, path: str, voxels: int) -> None:
        self.path = path
        self.size = f"about {voxels:,} voxels"
        self.prediction = ""
        self.refused = False
        self.device = torch.device(evaluator.state.device)
        self.sw_output_device = torch.device(getattr(evaluator.inferer, "device", None) or self.device)
        self._bytes_per_channel = self._bytes_of_counts = 0

    def loaded(self, image: Tensor) -> None:
        """Note the size of the batch, ``(B, C, D, H, W)``: the inferer's stitched volumes have the same type."""
        self.size = " x ".join(str(n) for n in image.shape[2:]) + " voxels"
        self._bytes_of_counts = image.element_size() * math.prod(image.shape[2:])
        self._bytes_per_channel = self._bytes_of_counts * image.shape[0]

    def first_window(self, network: nn.Module, inputs: Any, output: Any) -> None:
        """Forward hook: with the output's channels, what the stitched prediction takes; refuse what cannot fit."""
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
        """The line to end with where memory ran out."""
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


def _rehearse(
    evaluator: SupervisedEvaluator, postprocessing: Callable[..., Any] | None, spacing: Sequence[float] | None
) -> str:
    """Try the largest case; returns the line to print."""
    loader: Any = evaluator.data_loader
    items: Sequence[Item] = loader.dataset.data
    if len(items) == 0:
        return "no validation case to rehearse"
    index, voxels = largest_case(items, spacing)
    attempt = _Attempt(evaluator, first_image(items[index]), voxels)
    on_gpu = attempt.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(attempt.device)
    start = time.perf_counter()
    try:
        with _random_numbers_kept(attempt.device):
            _validate(evaluator, postprocessing, index, attempt)
    except Exception as error:
        if _is_out_of_memory(error):
            windows = getattr(evaluator.inferer, "sw_batch_size", None)
            raise ValueError(attempt.advice(windows, spacing)) from None
        raise RuntimeError(f"validation fails on {attempt.path}") from error
    seconds = time.perf_counter() - start
    gc.collect()  # engine and prediction hold each other
    told = f"rehearsed validation on its largest case, {attempt.path}: {attempt.size}, {seconds:.1f} s"
    if on_gpu:
        told += f", GPU peak {readable(torch.cuda.max_memory_allocated(attempt.device))}"
        torch.cuda.empty_cache()
    return told


def _validate(
    evaluator: SupervisedEvaluator, postprocessing: Callable[..., Any] | None, index: int, attempt: _Attempt
) -> None:
    """One batch through an evaluator like the given one, but without metrics and handlers."""
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
    runner.logger = logging.Logger("rehearsal", logging.CRITICAL + 1)  # what happens is told in one line
    hook = evaluator.network.register_forward_hook(attempt.first_window)
    try:
        runner.run()
    finally:
        hook.remove()
    if attempt.device.type == "cuda":
        torch.cuda.synchronize(attempt.device)


@contextmanager
def _random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Global generators are left as they were found: a run draws the same with and without a rehearsal."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - MONAI draws from the global one
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether this exception, or one it came from (MONAI wraps those of transforms), is for want of memory."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
