"""The folder of a release: zips, weights, folders for the hub, checksums, model_info.json and release notes.

The folder is built beside its place and then renamed, so it is complete or absent. The same commit gives the same
bytes, so a repeated build either equals what is there, or is refused.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from custom_components.atomic import partial_path
from custom_components.faults import Fault
from mim3d.package.contents import collect
from mim3d.package.metadata import as_json
from mim3d.package.pack import write_folder, write_zip
from mim3d.release.hub import hub_files
from mim3d.release.weights import packed_weights, with_address, write_assets

SUMS, INFO, NOTES, HUB = "checksums.txt", "model_info.json", "release_notes.md", "hub"


def write_release(folder: Path, bundles: Sequence[Path], version: str, downloads: str, notes: str) -> None:
    """Write a release into an empty folder.

    Args:
        folder: to write to.
        bundles: folders of the bundles.
        version: of all of them.
        downloads: address of the folder on the web where the zips will be.
        notes: the release notes.

    Raises:
        ValueError: if a bundle cannot be packed.
    """
    info, attached = {}, write_assets(folder, bundles)
    for bundle in bundles:
        name, files = f"{bundle.name}_v{version}", with_address(collect(bundle), downloads)
        archive = folder / f"{name}.zip"
        write_zip(archive, bundle.name, files)
        # The model zoo lists sha1 sums; it says so in its ci/update_model_info.py only.
        checksum = hashlib.sha1(archive.read_bytes()).hexdigest()
        info[name] = {"checksum": checksum, "source": f"{downloads}/{archive.name}"}
        attached.append(archive)
        for entry, packed in packed_weights(bundle):
            files = with_address(packed, downloads)  # the hub shows the bundle with its weights
            attached.append(folder / f"{entry.name.replace('/', '.')}_v{version}.zip")
            write_zip(attached[-1], bundle.name, files)
        write_folder(folder / HUB / bundle.name, hub_files(bundle.name, files))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(attached)]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    (folder / INFO).write_bytes(as_json(info))
    (folder / NOTES).write_text(notes, encoding="utf-8")


def put_release(out: Path, write: Callable[[Path], None]) -> bool:
    """Build a release, and move it into place.

    Args:
        out: folder that does not exist, is empty, or holds the same release.
        write: writes into an empty folder.

    Returns:
        True if the folder is new, False if it held the same files.

    Raises:
        Fault: if the folder holds other files, which are then unchanged.
    """
    if out.exists() and not (out.is_dir() and ((out / SUMS).is_file() or not any(out.iterdir()))):
        raise Fault(f"{out} is not a folder of a release; give another --out")
    scratch = partial_path(out)
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir(parents=True)
    try:
        write(scratch)
        if not out.exists() or not any(out.iterdir()):
            scratch.replace(out)
            return True
        made, there = digests(scratch), digests(out)
        if differ := sorted(name for name in made | there if made.get(name) != there.get(name)):
            raise Fault(f"{out} holds something else than this release, such as {differ[0]}; give another --out")
        return False
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digests(folder: Path) -> dict[str, str]:
    """Return sha256 of each file below a folder, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
