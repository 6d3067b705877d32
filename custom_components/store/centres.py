"""Candidates for the centres of crops: voxels of each class of a label, found once and stored beside it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from monai.transforms.utility.dictionary import ClassesToIndicesd
from torch import Tensor


def centres_path(folder: Path, classes: ClassesToIndicesd, padded: Sequence[int]) -> Path:
    """Return the file of the candidates for one number of classes, limit and shape."""
    converter = classes.converter
    sides = "x".join(map(str, padded))
    return folder / f"centres_{converter.num_classes}_{converter.max_samples_per_class}_{sides}.npy"


def find_centres(label: Tensor, classes: ClassesToIndicesd) -> np.ndarray:
    """Return the candidates of a padded label ``(1, D, H, W)`` in one array.

    Returns:
        int64: the number of classes, the number of candidates of each, and the flat indices of all.
    """
    found = [np.asarray(torch.as_tensor(one).numpy(), dtype=np.int64) for one in classes.converter(label)]
    return np.concatenate([[len(found)], [len(one) for one in found], *found]).astype(np.int64)


def split_centres(array: np.ndarray) -> list[np.ndarray]:
    """Return the flat indices of each class, from the array of `find_centres`; views, which read nothing."""
    count = int(array[0])
    ends = 1 + count + np.cumsum(array[1 : 1 + count])
    starts = [1 + count, *ends[:-1]]
    return [array[start:end] for start, end in zip(starts, ends, strict=True)]


def read_centres(path: Path) -> np.ndarray | None:
    """Return stored candidates, memory-mapped; None if the file is missing or damaged."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array if len(array) == 1 + int(array[0]) + int(array[1 : 1 + int(array[0])].sum()) else None
    except (OSError, ValueError, IndexError, EOFError):
        return None


def write_centres(path: Path, array: np.ndarray) -> None:
    """Write candidates atomically; a folder that cannot be written to is left as it is."""
    partial = path.with_name(f".tmp_{uuid.uuid4().hex[:8]}.npy")  # several workers may write one file
    with suppress(OSError):
        np.save(partial, array)
        os.replace(partial, path)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
