"""Folders of bundles, and the files in them that a package may hold."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mim3d.catalog import ROOT

#: File in a package with the sha256 of the others.
SUMS = "SHA256SUMS"
#: Bytes a file may have without large_files.yml (the zoo's limit).
LARGE = 25 * 2**20
#: What the name of a config-only package begins with. At its end, another bundle's name would begin it.
CONFIG_ONLY = "config_only_"
#: Path in a bundle -> content.
Files = dict[str, bytes]


def find_bundle(given: str) -> Path:
    """Find the folder of a bundle by name or path.

    Raises:
        ValueError: if there is none.
    """
    named = ROOT / "bundles" / given
    for folder in (named, Path(given)):
        if (folder / "configs" / "metadata.json").is_file():
            return folder.resolve()
    known = ", ".join(bundle.name for bundle in all_bundles())
    raise ValueError(f"{given!r} is not a bundle (a folder with configs/metadata.json); bundles/ has {known}")


@contextmanager
def open_bundle(given: str) -> Iterator[Path]:
    """Give the folder of a bundle in the ``with`` block; a zip of ``mim3d package`` is unpacked meanwhile.

    Raises:
        ValueError: if there is no such bundle, or if the zip is damaged or holds no single bundle.
    """
    if not given.lower().endswith(".zip"):
        yield find_bundle(given)
        return
    if not Path(given).is_file():
        raise ValueError(f"{given} does not exist; give a bundle's name, its folder, or a zip of mim3d package")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with zipfile.ZipFile(given) as archive:
                archive.extractall(scratch)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(f"{given} is damaged or not a zip: {error}") from None
        found = sorted(Path(scratch).glob("*/configs/metadata.json"))
        if len(found) != 1:
            raise ValueError(f"{given} holds {len(found)} bundles; allowed: one folder with configs/metadata.json")
        yield found[0].parents[1].resolve()


def all_bundles(folder: Path = ROOT / "bundles") -> list[Path]:
    """Folders of all bundles of the repository, sorted."""
    return sorted(path.parent for path in folder.glob("*/configs") if not path.parent.name.startswith("."))


def visible_files(folder: Path) -> list[Path]:
    """Files below a folder, sorted, without hidden files, compiled files and tests."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in ("__pycache__", "tests") for part in parts)
        if path.is_file() and not hidden and path.suffix not in (".pyc", ".pyo"):
            found.append(path)
    return found
