"""Published weights in a release: their files, their address in the packed registry, and zips that hold them.

The release page is where the weights are downloaded from, unless the registry names another place. So the bundles
of the release find them by name, on a machine without the repository.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from custom_components import published
from custom_components.atomic import read_json
from custom_components.published import Published, asset_name, read_registry
from custom_components.transfer import fetch_weights
from mim3d.package.contents import collect, with_sums
from mim3d.package.folders import SUMS, Files
from mim3d.package.metadata import as_json
from mim3d.package.published import layers_of

#: The registry in a package.
PACKED = f"custom_components/{published.REGISTRY.name}"


def weights_of(bundle: Path) -> list[Published]:
    """Return the published weights that a bundle was trained for."""
    return [entry for entry in read_registry()[0].values() if entry.bundle == bundle.name]


def write_assets(folder: Path, bundles: Sequence[Path]) -> list[Path]:
    """Write the files of published weights into the folder of a release, under their names on a release page.

    Args:
        folder: to write to.
        bundles: whose weights.

    Returns:
        The files; none if the registry names another place to download from.

    Raises:
        Fault: for a copy in ``weights`` that is not that of the registry, and if there is none.
    """
    if read_json(published.REGISTRY)["base_url"]:
        return []
    written = []
    for entry in (entry for bundle in bundles for entry in weights_of(bundle)):
        for file in entry.files:
            written.append(folder / asset_name(entry.name, file.name))
            shutil.copyfile(fetch_weights(entry.name, file.name), written[-1])
    return written


def with_address(files: Files, downloads: str) -> Files:
    """State in a package's registry that the weights are at this address, unless it names one already.

    Args:
        files: of a packed bundle.
        downloads: URL of the folder with the files of the release.
    """
    registry = json.loads(files[PACKED])
    if registry["base_url"]:
        return files
    kept = {path: data for path, data in files.items() if path != SUMS}
    return with_sums({**kept, PACKED: as_json({**registry, "base_url": downloads})})


def packed_weights(bundle: Path) -> Iterator[tuple[Published, Files]]:
    """Yield the published weights of a bundle, each with the files of a package that holds them.

    Raises:
        ValueError: if a package cannot be made.
        Fault: as `write_assets`.
    """
    for entry in weights_of(bundle):
        with layers_of(entry) as layers:
            yield entry, collect(bundle, layers, fetch_weights(entry.name), published=entry)
