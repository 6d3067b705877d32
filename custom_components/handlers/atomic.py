"""Writing tensors so that an interruption leaves the old file or the new one, never half of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from custom_components.data.atomic import write_atomically


def save_atomically(content: Any, path: Path) -> None:
    """``torch.save`` under a temporary name in the same folder, then move into place."""
    write_atomically(path, lambda temporary: torch.save(content, temporary))
