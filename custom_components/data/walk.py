"""Finding the NIfTI files of a folder: links are followed, loops of links are cut, one real file is one file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from custom_components.data.names import is_image_folder, is_label_folder, is_nifti


def existing_folder(dataset_dir: str | os.PathLike[str]) -> Path:
    """Return ``dataset_dir`` as an absolute path.

    Raises:
        ValueError: if it is empty, or not a folder.
    """
    if not str(dataset_dir):
        raise ValueError("dataset_dir is empty: give the folder that holds the NIfTI files")
    folder = Path(os.path.abspath(dataset_dir))
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"dataset_dir {folder} {found}: give the folder that holds the NIfTI files")
    return folder


def nifti_files(folder: Path) -> list[str]:
    """Return every NIfTI file under ``folder``, recursively, as sorted POSIX paths relative to it.

    Names that start with a dot are skipped. Links to folders are followed, but a real folder is read once, under
    its own path if it lies in ``folder``; so a link back to a parent folder adds nothing. Links such as
    ``imagesTr`` and ``labelsTr`` in ``folder`` go first, because their names say what they hold.
    """
    found: list[str] = []
    seen: set[str] = set()
    waiting = [str(folder)]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        named = is_image_folder(entry.name) or is_label_folder(entry.name)
        linked_folder = entry.is_symlink() and entry.is_dir()
        if named and linked_folder and not _holds(os.path.realpath(entry.path), os.path.realpath(folder)):
            found += _files_below(entry.path, seen, waiting)
    while waiting:
        linked: list[str] = []
        for start in sorted(waiting):
            found += _files_below(start, seen, linked)
        waiting = linked
    return sorted(Path(file).relative_to(folder).as_posix() for file in found)


def _files_below(start: str, seen: set[str], linked: list[str]) -> list[str]:
    """Return the NIfTI files below ``start``, without seen folders; links to folders go to ``linked``."""
    found: list[str] = []
    for parent, folders, names in os.walk(start):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        linked += [os.path.join(parent, name) for name in links]
        folders[:] = [name for name in folders if name not in links]
        found += [os.path.join(parent, name) for name in names if is_nifti(name)]
    return found


def _holds(folder: str, inside: str) -> bool:
    return os.path.commonpath([folder, inside]) == folder


def real_file(path: str | os.PathLike[str]) -> str:
    """Return a name that all paths of one real file share, through symbolic and hard links."""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError:
        return real
    return f"{status.st_dev}:{status.st_ino}" if status.st_nlink > 1 else real


def other_paths(files: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the relative paths that lead to a file that comes earlier: path -> the earlier path."""
    first: dict[str, str] = {}
    again: dict[str, str] = {}
    for file in files:
        before = first.setdefault(real_file(folder / file), file)
        if before != file:
            again[file] = before
    return again


def why_lost(path: str | os.PathLike[str]) -> str:
    """Return why there is no file: ``does not exist``, ``is a link to nothing``, ``is not a file``; or empty."""
    if os.path.isfile(path):
        return ""
    if os.path.exists(path):
        return "is not a file"
    return "is a link to nothing" if os.path.islink(path) else "does not exist"
