"""Published weights by name: a local copy or a download, with its sha256 verified at each use."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import torch

from custom_components import published
from custom_components.atomic import PARTIAL
from custom_components.faults import Fault
from custom_components.machine import free_space, os_error_in
from custom_components.published import (
    URL_VARIABLE,
    Published,
    PublishedFile,
    asset_name,
    find_published,
    is_published,
)

from .cards import file_sha256
from .read import FilePath
from .receive import receive

logger = logging.getLogger(__name__)


def weights_file(given: FilePath) -> Path:
    """Return the weights file of a path, or of the name of published weights.

    A file that exists comes first. A path with a suffix, such as ``model.pt``, is returned as it is; what reads
    the file says that it does not exist.

    Args:
        given: a path, or a name such as ``hippocampus``.

    Raises:
        ValueError: for a path without suffix that does not exist and is no name of published weights.
        Fault: if the named weights cannot be downloaded, or are not those of the registry.
    """
    path = Path(given)
    if path.is_file() or ((path.suffix or path.is_dir()) and not is_published(str(given))):
        return path
    return fetch_weights(str(given))


def weights_sha256(given: FilePath) -> str:
    """Return the hexadecimal digest of the file that `weights_file` returns."""
    return file_sha256(weights_file(given))


def fetch_weights(name: str, file: str = "model.pt") -> Path:
    """Return a file of published weights; download the weights if there is no copy on this machine.

    A copy in ``weights/<name>`` beside custom_components comes first, then the cache. The sha256 of every file is
    verified at each call. A damaged file in the cache is downloaded again.

    Args:
        name: of the weights, for example ``hippocampus`` or ``hippocampus/pretrain_hybridmim``.
        file: one of their files.

    Raises:
        ValueError: if no weights have this name, or they have no such file.
        Fault: if a copy in ``weights`` is not that of the registry, or if the download fails. A failed download
            leaves nothing behind.
    """
    weights = find_published(name)
    weights.file(file)
    local = published.LOCAL / weights.name
    if (local / weights.files[0].name).is_file():
        if wrong := differing_file(weights, local):
            raise Fault(f"{wrong}; restore it from the repository, or remove {local} to download the weights")
        return local / file
    folder = cache_folder(weights)
    if differing_file(weights, folder):
        _download(weights, folder)
    return folder / file


def cache_folder(weights: Published) -> Path:
    """Return where downloaded weights are kept: below torch's hub folder, which TORCH_HOME moves."""
    return _cache() / f"{weights.name}-{weights.files[0].sha256[:8]}"


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "mim3d"


def differing_file(weights: Published, folder: Path) -> str | None:
    """Return what is wrong with the first file in a folder that differs from the registry; None if none does."""
    for file in weights.files:
        path = folder / file.name
        if not path.is_file():
            return f"{path} does not exist"
        if (found := file_sha256(path)) != file.sha256:
            return f"{path} has sha256 {found}, but the registry of published weights says {file.sha256}"
    return None


def _download(weights: Published, folder: Path) -> None:
    """Download all files, and move them into place when all of them are verified."""
    urls = [_url(weights, file) for file in weights.files]
    logger.info(f"downloading {weights.name} to {folder}; licence: {weights.licence}; {weights.attribution}")
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        # A folder of its own, because the ranks of a training may download at the same time.
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=_cache()) as partial:
            for file, url in zip(weights.files, urls, strict=True):
                receive(url, Path(partial, file.name), file.sha256, file.bytes, progress=sys.stderr.isatty())
            folder.mkdir(parents=True, exist_ok=True)
            for file in weights.files:
                os.replace(Path(partial, file.name), folder / file.name)
    except OSError as error:
        reason = (os_error_in(error) or error).strerror
        raise Fault(f"weights {weights.name} cannot be written: {reason} ({free_space(folder)})") from error


def _url(weights: Published, file: PublishedFile) -> str:
    if file.url is None:
        raise Fault(
            f"weights {weights.name} are not published for download yet, and there is no copy of them in "
            f"{published.LOCAL / weights.name} or {cache_folder(weights)}; put one there, or set "
            f"{URL_VARIABLE} to the URL of a folder with {asset_name(weights.name, file.name)}"
        )
    return file.url
