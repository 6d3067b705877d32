"""Reading a weights file of any of the layouts that are met in practice."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

#: Keys under which trainers nest the network's state dict.
WRAPPERS = ("network", "state_dict", "model", "net", "pretext")
#: Prefixes that wrappers put before every key: DDP, torch.compile, our pretext networks, Lightning.
PREFIXES = ("module.", "_orig_mod.", "network.", "model.")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a weights file on the CPU into a flat dictionary of tensors.

    A nested checkpoint is unwrapped and the known prefixes are taken off, at the start of keys only.

    Raises:
        ValueError: when the file is missing, empty, an HTML page, no torch file, or holds no tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"weights file {file} does not exist")
    with file.open("rb") as stream:
        head = stream.read(64).lstrip()
    if not head:
        raise ValueError(f"weights file {file} is empty")
    if head.startswith(b"<"):
        raise ValueError(f"weights file {file} is a web page, not weights: its download went wrong")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different class for each kind of damage
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"weights file {file} cannot be read as tensors (truncated, or no torch file): {reason}"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"weights file {file} holds no dictionary of tensors")
    return strip_prefixes(content)


def strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take known prefixes off, repeatedly, where some keys carry them.

    A pretext checkpoint has the network under ``network.`` beside its heads; the heads stay as they are.
    """
    for prefix in PREFIXES * 2:
        inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if inner:
            rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
            state = {**rest, **inner}
    return state
