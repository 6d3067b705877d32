"""Pack bundles as folders and zips that stand alone: configs, docs, licence, weights, and custom_components.

Writes ``DIR/<name>/`` and ``DIR/<name>_v<version>.zip``, which holds that one folder. The commands of its README
run from inside it. The same tree gives the same bytes at any place and time. ``SHA256SUMS`` lists what was
written; a folder is replaced only if its content still matches that list.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from mim3d.package.config_only import packed_name
from mim3d.package.contents import collect
from mim3d.package.folders import SUMS, Files

EPOCH = (1980, 1, 1, 0, 0, 0)


def ours(path: Path) -> bool:
    """Whether a folder or zip is what an earlier call wrote, with nothing added or changed since."""
    found: Files = {}
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        # compiled files are left by running or importing from the folder
        found = {name: data for name, data in found.items() if "__pycache__" not in name}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(found.items()) if name != SUMS]
    return SUMS in found and sums == found[SUMS].decode().splitlines()


def write_folder(folder: Path, files: Files) -> None:
    """Write files with equal permissions and times, so that two packages of the same tree are equal."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
        os.utime(path, (315532800, 315532800))
    for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        path.chmod(0o755)


def write_zip(path: Path, name: str, files: Files) -> None:
    """Write a zip without compression, which differs between zlib versions and hardly shrinks weights."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file, data in files.items():
            entry = zipfile.ZipInfo(f"{name}/{file}", EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data)


def put(made: Path, target: Path) -> None:
    """Move a finished folder or file to its place, and restore what was there if that fails."""
    old = made.with_name(made.name + ".old")
    if target.exists():
        target.rename(old)
    try:
        made.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def package(bundle: Path, out: Path, overwrite: bool = False, **options: Any) -> tuple[Path, Path]:
    """Write one bundle's folder and zip.

    Args:
        bundle: the bundle's folder.
        out: folder to write to.
        overwrite: replace what an earlier call wrote.
        **options: of `collect`.

    Returns:
        The folder and the zip.

    Raises:
        ValueError: if a target exists that may not be replaced, and as `collect`.
    """
    files = collect(bundle, **options)
    version = json.loads(files["configs/metadata.json"])["version"]
    name = packed_name(bundle, options.get("config_only", False))
    targets = (out / name, out / f"{name}_v{version}.zip")
    for target in targets:
        if target.exists() and not overwrite:
            raise ValueError(f"{target} exists; --overwrite replaces what an earlier call wrote")
        if target.exists() and not ours(target):
            raise ValueError(f"{target} is not, or no longer, what packing wrote; move it elsewhere first")
    out.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".packing_", dir=out))
    try:
        write_folder(scratch / "folder", files)
        write_zip(scratch / "zip", name, files)
        for made, target in zip(("folder", "zip"), targets, strict=True):
            put(scratch / made, target)
    finally:
        shutil.rmtree(scratch)
    return targets
