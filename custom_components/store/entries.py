"""Entries of a store on disk: one folder for each volume, which appears whole or not at all.

``images/<key>`` and ``labels/<key>`` hold the voxels and ``entry.json``. An entry is written into a temporary
folder, which is then renamed. So several processes may build one store at the same time: the first to finish an
entry wins. ``index.json`` repeats every ``entry.json``, because reading thousands of small files takes long on a
network. It is written last. An entry that it lacks is still found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from custom_components.faults import Fault
from custom_components.machine import free_space
from custom_components.store.formats import FORMATS, checksum, write_array

KINDS = ("images", "labels")
INDEX = "index.json"
_ENTRY = "entry.json"
_UNFINISHED = ".tmp_"
_KEY = re.compile("[0-9a-f]{32}")
_WRITER = re.compile(re.escape(_UNFINISHED) + r"(.*)_(\d+)_\w+")  # host and process
_DAY = 86400
Content = dict[str, Any]


class StoreFolder:
    """The entries in one folder.

    Args:
        folder: it need not exist.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._index: dict[str, Content] | None = None

    def path(self, kind: str, key: str) -> Path:
        """Return the folder of an entry."""
        return self.folder / kind / key

    def find(self, kind: str, key: str) -> Content | None:
        """Return an entry's content if its voxels have the size that it states; otherwise None."""
        if self._index is None:
            self._index = _read(self.folder / INDEX) or {}
        folder = self.path(kind, key)
        return _complete(folder, self._index.get(f"{kind}/{key}")) or _complete(folder, _read(folder / _ENTRY))

    def fault(self, kind: str, key: str) -> str | None:
        """Return what is wrong with an entry that exists, after reading all of its voxels; None: nothing."""
        folder = self.path(kind, key)
        content = self.content(kind, key)
        if content is None or not {"file", "bytes", "crc32"} <= content.keys():
            return f"{_ENTRY} is missing or damaged"
        file = folder / content["file"]
        if _size(file) != content["bytes"]:
            return f"{file.name} has {_size(file)} bytes, expected {content['bytes']}"
        if checksum(file) != content["crc32"]:
            return f"{file.name} has another checksum than when written"
        return None

    def entries(self) -> Iterator[tuple[str, str]]:
        """Yield kind and key of every entry, complete or not; whatever else lies there is not one."""
        for kind in KINDS:
            for path in sorted((self.folder / kind).glob("*")):
                if _KEY.fullmatch(path.name):
                    yield kind, path.name

    def content(self, kind: str, key: str) -> Content | None:
        """Return an entry's content as its own file states it; None if that file is missing or damaged."""
        return _read(self.path(kind, key) / _ENTRY)

    def write(
        self, kind: str, key: str, array: np.ndarray, content: Mapping[str, Any], store_format: str = "npy"
    ) -> None:
        """Write an entry, unless a complete one of that key is there; an incomplete one is replaced.

        Args:
            kind: ``images`` or ``labels``.
            key: its name.
            array: voxels, ``(C, D, H, W)``.
            content: facts to store beside them.
            store_format: ``npy`` or ``blosc2``.

        Raises:
            Fault: if the files cannot be written.
        """
        target = self.path(kind, key)
        unfinished = self._unfinished()
        file = unfinished / FORMATS[store_format if array.size else "npy"]  # no foreground: nothing to compress
        try:
            unfinished.mkdir(parents=True)
            target.parent.mkdir(exist_ok=True)
            write_array(file, array)
            facts = {"file": file.name, "bytes": _size(file), "crc32": checksum(file), **content}
            (unfinished / _ENTRY).write_text(json.dumps(facts), encoding="utf-8")
            for path in unfinished.iterdir():
                _to_disk(path)
            self._put(unfinished, target)
        except OSError as error:
            reason = error.strerror or error
            raise Fault(f"{target} cannot be written: {reason} ({free_space(self.folder)})") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _put(self, unfinished: Path, target: Path) -> None:
        """Rename a finished folder, unless another process was faster."""
        if _complete(target, _read(target / _ENTRY)):
            return
        if target.exists():
            self.remove(target.parent.name, target.name)
        try:
            os.rename(unfinished, target)
        except OSError:
            if not _complete(target, _read(target / _ENTRY)):
                raise

    def remove(self, kind: str, key: str) -> None:
        """Remove an entry at once, so that nobody sees half of it."""
        doomed = self._unfinished()
        with suppress(FileNotFoundError):  # another process removed it
            os.rename(self.path(kind, key), doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def write_index(self) -> None:
        """Write the index of all complete entries, atomically."""
        found = {f"{kind}/{key}": self.content(kind, key) for kind, key in self.entries()}
        text = json.dumps({name: content for name, content in found.items() if content is not None})
        partial = self._unfinished()
        try:
            partial.write_text(text, encoding="utf-8")
            _to_disk(partial)
            os.replace(partial, self.folder / INDEX)
        except OSError as error:
            raise Fault(f"{self.folder / INDEX} cannot be written: {error.strerror}") from error
        self._index = None

    def _unfinished(self) -> Path:
        """Return a name that says which process of which machine writes it."""
        return self.folder / f"{_UNFINISHED}{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"

    def remove_unfinished(self) -> int:
        """Remove what killed processes of this machine left, and what is a day old; return how many."""
        count = 0
        for path in self.folder.glob(f"{_UNFINISHED}*"):
            parts = _WRITER.fullmatch(path.name)
            ended = parts is not None and parts[1] == socket.gethostname() and not _runs(int(parts[2]))
            with suppress(OSError):
                if ended or time.time() - path.stat().st_mtime > _DAY:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    count += 1
        return count


def _read(path: Path) -> Content | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _complete(folder: Path, content: Content | None) -> Content | None:
    """Return the content of an entry if its voxels have the size that it states; otherwise None."""
    try:
        return content if content and _size(folder / content["file"]) == content["bytes"] else None
    except (KeyError, TypeError):  # JSON of something else
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
