"""What the tests of pretraining's steps and of its weights share: options, and tensors of a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

SINCOS: dict[str, Any] = {"positions": "sincos"}
#: A bundle, one of its layers or None, and changed keys.
Option = tuple[str, str | None, dict[str, Any]]
Load = Callable[[Path], dict[str, Tensor]]


def places(volumes: Path, out: Path) -> dict[str, str]:
    return {"dataset_dir": str(volumes), "output_dir": str(out), "ckpt_dir": str(out)}


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A copy, to compare with after a step."""
    return {key: value.clone() for key, value in module.state_dict().items()}
