"""Unpacking the zip of a bundle that may have been damaged, or made to do harm."""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from custom_components.machine import readable
from custom_components.transfer import file_sha256
from mim3d.package.folders import SUMS

#: What an archive may hold. A packed bundle has about 300 files.
MOST_FILES = 10_000
MOST_BYTES = 2 * 10**9
#: What a damaged or encrypted archive makes the standard library raise.
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error)


def unpack(archive: Path, folder: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpack a zip that holds one bundle, and compare it with its ``SHA256SUMS`` if it has them.

    Every name and size is checked before the first file is written.

    Args:
        archive: the zip.
        folder: where the bundle's folder is made; it must not hold that folder yet. It is left as it was if the
            archive is refused because of names or sizes; if a file turns out to be damaged, the caller removes it.
        most_bytes: bytes that all files together may have.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: if the archive is damaged, is too large, holds anything but the files of one bundle, or
            differs from its ``SHA256SUMS``.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check_sizes(members, most_bytes)
            for member in opened.infolist():
                _check_member(member)
            root = folder / _one_folder(members)
            for member in members:
                _write(opened, member, folder / member.filename)
    except _DAMAGE as error:
        raise ValueError(f"{archive.name} is no zip archive that can be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"{archive.name} is refused: {error}") from None
    check_sums(root)
    return root


def _check_sizes(members: list[zipfile.ZipInfo], most_bytes: int) -> None:
    if len(members) > MOST_FILES:
        raise ValueError(f"it holds {len(members)} files; allowed: {MOST_FILES}")
    if (size := sum(member.file_size for member in members)) > most_bytes:
        raise ValueError(f"its files have {readable(size)}; allowed: {readable(most_bytes)}")


def _check_member(member: zipfile.ZipInfo) -> None:
    """Raise ValueError for a name that leads out of the folder, and for what is neither a file nor a folder."""
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or re.search(r"[\\:\0]", name) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"the name {name!r} leads out of the folder, or is no plain path")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{name!r} is a link or a device; only files and folders are allowed")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name!r} is compressed by method {member.compress_type}; allowed: stored, deflated")


def _one_folder(members: list[zipfile.ZipInfo]) -> str:
    """Return the name of the bundle: the one folder that holds all files, with its metadata."""
    names = [PurePosixPath(member.filename) for member in members]
    folders = sorted({name.parts[0] for name in names})
    metadata = PurePosixPath("configs/metadata.json")
    if len(folders) != 1 or PurePosixPath(folders[0]) / metadata not in names:
        raise ValueError(f"it holds {', '.join(folders[:3]) or 'nothing'}; allowed: one folder with {metadata}")
    if len({str(name).lower() for name in names}) != len(names):
        raise ValueError("it holds a name twice")
    return folders[0]


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one file; zipfile reads no more than the stated size, and verifies the checksum at its end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


def check_sums(root: Path) -> None:
    """Compare a bundle's files with its ``SHA256SUMS``; without that file nothing is compared.

    Raises:
        ValueError: for a file that is missing, differs, or is not listed.
    """
    if not (root / SUMS).is_file():
        return
    lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    found.pop(SUMS)
    differ = sorted(set(listed) ^ set(found))
    differ += [name for name in sorted(set(listed) & set(found)) if file_sha256(found[name]) != listed[name]]
    if differ:
        raise ValueError(f"{root.name}: {differ[0]} is not as {SUMS} lists it; the package was damaged or changed")
