"""What ``mim3d download`` does: a bundle by its URL, or published weights by their name."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from monai.apps.utils import SUPPORTED_HASH_TYPES

from custom_components.atomic import PARTIAL, write_together
from custom_components.published import find_published
from custom_components.transfer import fetch_weights
from custom_components.transfer.receive import receive
from mim3d.download.unpack import unpack

#: Names of the zoo's list of files that a zip leaves out.
LISTINGS = ("large_files.yml", "large_files.yaml", "large_files.json")


def download_weights(name: str, out: Path) -> Path:
    """Copy published weights with their card to ``out/<name>``; download them if there is no copy yet.

    Returns:
        The weights file.

    Raises:
        ValueError: if no weights have this name, if they cannot be downloaded, or if ``out/<name>`` exists.
    """
    weights = find_published(name)
    target = _free(out / weights.name)
    copies = {file.name: fetch_weights(name, file.name) for file in weights.files}
    write_together({target / file: partial(shutil.copyfile, path) for file, path in copies.items()})
    print(f"licence: {weights.licence}; {weights.attribution}")
    return target / weights.files[0].name


def download_bundle(url: str, out: Path, sha256: str | None, most_bytes: int) -> Path:
    """Download a bundle's zip and the files that its ``large_files.yml`` lists, and put it into a folder.

    Everything is checked in a temporary folder first, so a refusal leaves ``out`` as it was.

    Args:
        url: of the zip.
        out: folder in which the bundle's folder is made.
        sha256: of the zip; None: not verified.
        most_bytes: bytes that the zip, its content and each listed file may have.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: if something is not as it must be, or the folder exists.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=out) as temporary:
            archive = Path(temporary, "bundle.zip")
            _receive(url, archive, sha256, most_bytes)
            root = unpack(archive, Path(temporary, "unpacked"), most_bytes)
            target = _free(out / root.name)
            for listing in (root / name for name in LISTINGS if (root / name).is_file()):
                for entry in _listed(listing):
                    _receive_listed(entry, root, most_bytes)
            return root.rename(target)
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()


def _free(target: Path) -> Path:
    if target.exists():
        raise ValueError(f"{target} exists; give another --out, or remove it")
    return target


def _listed(listing: Path) -> list[Mapping[str, Any]]:
    """Return the entries of a list of large files, each with a hash and a place that is free.

    Raises:
        ValueError: naming the list, for anything else.
    """
    try:
        entries = yaml.safe_load(listing.read_text(encoding="utf-8"))["large_files"]
        paths = [Path(str(entry["path"])) for entry in entries]
        whole = all(entry["url"] and entry["hash_val"] and entry["hash_type"] for entry in entries)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{listing.name} cannot be read: {type(error).__name__} {error}") from None
    if not whole or any(entry["hash_type"] not in SUPPORTED_HASH_TYPES for entry in entries):
        allowed = ", ".join(SUPPORTED_HASH_TYPES)
        raise ValueError(f"{listing.name} has a file without url or hash; allowed kinds of hash: {allowed}")
    for path in paths:
        if path.is_absolute() or ".." in path.parts or (listing.parent / path).exists():
            raise ValueError(f"{listing.name} puts a file at {path}: outside the bundle, or where a file is")
    return list(entries)


def _receive_listed(entry: Mapping[str, Any], root: Path, most_bytes: int) -> None:
    target = root / entry["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    _receive(entry["url"], target, str(entry["hash_val"]), most_bytes, entry["hash_type"])


def _receive(url: str, target: Path, digest: str | None, most_bytes: int, hash_type: str = "sha256") -> None:
    bar = sys.stderr.isatty()
    receive(url, target, digest, at_most=most_bytes, progress=bar, hash_type=hash_type)
