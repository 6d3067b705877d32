"""Reading the files that torch wrote: weights in any common layout, and the state of a run."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from custom_components.finite import first_not_finite

FilePath = str | os.PathLike[str]
#: Keys under which trainers nest the network's state dict.
WRAPPERS = ("network", "state_dict", "model", "net", "pretext", "network_weights")
#: Prefixes that wrappers put before every key: DDP, torch.compile, our pretext networks, Lightning.
PREFIXES = ("module.", "_orig_mod.", "network.", "model.")


def load_torch_file(path: FilePath, kind: str = "weights") -> Any:
    """Load a file of tensors on the CPU without running any code in it.

    Args:
        path: the file.
        kind: what the file should be, for the message.

    Raises:
        ValueError: if the file is missing, a folder, empty, a web page, damaged, not a complete torch file, a
            pickle of other objects than tensors, or holds values that are not finite.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{kind} file {file} is a folder; name the file in it")
    if not file.is_file():
        raise ValueError(f"{kind} file {file} does not exist")
    with file.open("rb") as stream:
        head = stream.read(64).lstrip()
    if not head:
        raise ValueError(f"{kind} file {file} is empty")
    if head.startswith(b"<"):
        raise ValueError(f"{kind} file {file} is a web page, not a torch file: download it again")
    if (record := _damaged_record(file)) is not None:
        raise ValueError(f"{kind} file {file} is damaged (checksum of {record}): copy or download it again")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different class for each kind of damage
        raise ValueError(f"{kind} file {file} cannot be read as tensors {_reason(error)}") from None
    if (name := first_not_finite(content)) is not None:
        raise ValueError(
            f"{kind} file {file} holds NaN or infinity, first in {name}; the run that wrote it had diverged."
            " Use other weights"
        )
    return content


def _damaged_record(file: Path) -> str | None:
    """Return the first record of a torch file whose checksum is wrong; torch itself does not compare them.

    None also for a file that is no zip archive: torch.load then says what is wrong, or reads its older format,
    which has no checksums.
    """
    if not zipfile.is_zipfile(file):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, zlib.error) as error:
        return f"the archive: {error}"


def _reason(error: Exception) -> str:
    """Return the first line of torch's reason, without its advice to load the file unsafely."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "weights_only" in reason or "Weights only load failed" in reason:
        found = re.search(r"(?:Unsupported (?:global|class)|GLOBAL) (\S+)", str(error))
        return f"(it holds Python objects: {found[1] if found else 'a pickle'}); save a state_dict instead"
    return f"(truncated, or not a torch file): {reason if len(reason) > 3 else type(error).__name__}"


def read_weights(path: FilePath) -> dict[str, Tensor]:
    """Read a weights file on the CPU into a flat dictionary of tensors.

    A nested checkpoint is unwrapped. Known prefixes are removed from the start of keys. The latest file stays in
    memory until `forget_weights`, so that a check before the run and the loading read it once; do not change the
    tensors in place.

    Raises:
        ValueError: if the file cannot be loaded (see `load_torch_file`) or holds no dictionary of tensors.
    """
    return dict(_read_weights(*file_version(path)))


def forget_weights() -> None:
    """Release the file that `read_weights` keeps in memory."""
    _read_weights.cache_clear()


def file_version(path: FilePath) -> tuple[str, int, int]:
    """Return path, size and time of change, which together name one state of a file; zeros for a missing file."""
    file = Path(path)
    status = file.stat() if file.is_file() else None
    return str(file), status.st_size if status else 0, status.st_mtime_ns if status else 0


@lru_cache(maxsize=1)
def _read_weights(path: str, size: int, changed_ns: int) -> dict[str, Tensor]:
    content = load_torch_file(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"weights file {path} holds no dictionary of tensors")
    return strip_prefixes(content)


def strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove known prefixes from the start of the keys that carry them, repeatedly.

    A pretext checkpoint holds the network under ``network.`` beside its heads; the heads keep their keys.
    """
    for prefix in PREFIXES * 2:
        inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if inner:
            rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
            state = {**rest, **inner}
    return state


def read_resume_checkpoint(path: FilePath, names: Sequence[str]) -> dict[str, Any]:
    """Read the file of a run's state on the CPU.

    Args:
        path: the file.
        names: entries that the file must hold.

    Raises:
        ValueError: if the file cannot be loaded (see `load_torch_file`) or lacks one of ``names``.
    """
    content = load_torch_file(path, "resume")
    if not isinstance(content, dict):
        raise ValueError(f"resume file {path} holds a {type(content).__name__}; expected a dictionary")
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(f"resume file {path} holds {sorted(content)}; this run also needs {missing}")
    return content


def differing_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Return the keys of ``expected`` that ``found`` lacks or holds in another shape, in order."""
    return [key for key, value in expected.items() if key not in found or found[key].shape != value.shape]
