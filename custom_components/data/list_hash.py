"""A hash that says which cases weights were trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from custom_components.data.names import Item, files_of


def datalist_hash(items: Iterable[Item], dataset_dir: str | os.PathLike[str] = "") -> str:
    """Return the sha256 over the sorted names of images and labels, for a weights card.

    Args:
        items: dictionaries with ``image`` and perhaps ``label``.
        dataset_dir: folder that absolute names are made relative to, so that the hash does not depend on its
            place.

    Returns:
        64 hexadecimal digits.
    """
    names = []
    for item in items:
        parts = [path for key in ("image", "label") for path in files_of(item, key)]
        if dataset_dir:
            parts = [os.path.relpath(p, dataset_dir) if os.path.isabs(p) else p for p in parts]
        names.append("\t".join(Path(part).as_posix() for part in parts))
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
