"""Finding the first tensor in nested content that holds NaN or infinity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def first_not_finite(content: Any) -> str | None:
    """Return the path of the first tensor with NaN or infinity, as ``optimizer.state.0.exp_avg``, or None.

    Args:
        content: a tensor, or dictionaries, lists and tuples of tensors and other values.
    """
    return next((name for name, tensor in _tensors(content, "") if not _is_finite(tensor)), None)


def _tensors(content: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
        return
    if isinstance(content, Mapping):
        members = content.items()
    elif isinstance(content, (list, tuple)):
        members = enumerate(content)  # type: ignore[assignment]
    else:
        return
    for key, value in members:
        yield from _tensors(value, f"{name}.{key}" if name else str(key))


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    return bool(torch.isfinite(tensor).all())
