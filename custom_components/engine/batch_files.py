"""Which files a batch was made of, for messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Key of a batch under which a config keeps the paths of its images.
FILES_KEY = "files"


def batch_files(batch: Any) -> str:
    """Return the paths of a batch's images, separated by commas; several crops of a file are named once."""
    content = batch.get(FILES_KEY) if isinstance(batch, dict) else None
    return ", ".join(dict.fromkeys(_texts(content))) or "unnamed files"


def not_finite(engine: Any, found: str, batch: Any) -> str:
    """Return the message for a loss that is NaN or infinite.

    Args:
        engine: the trainer.
        found: what is not finite.
        batch: the batch of this step.
    """
    return (
        f"epoch {engine.state.epoch}, iteration {engine.state.iteration}: {found}, on crops of"
        f" {batch_files(batch)}; lower the learning rate, or use bfloat16 or no mixed precision."
        " The files saved so far are intact"
    )


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, (list, tuple)):
        for part in content:
            yield from _texts(part)
