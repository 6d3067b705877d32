"""Published weights in a package: their network and view, their licence, and a list of files to download."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from custom_components.published import Published, asset_name
from mim3d.package.folders import Files

#: Sentences of every bundle's documents that no longer hold when weights are packed.
WITHOUT_WEIGHTS = {
    "docs/data_license.txt": "No data and no weights ship with this bundle.",
    "docs/README.md": "No data and no weights are included.",
}
LISTING = "large_files.yml"


@contextmanager
def layers_of(weights: Published) -> Iterator[list[str]]:
    """Yield the layers that give a bundle's configs the network and view of published weights.

    Keys of the registry become a layer in a temporary folder, which is there in the ``with`` block only.
    """
    with tempfile.TemporaryDirectory() as folder:
        layers = list(weights.layers)
        if weights.keys:
            path = Path(folder, asset_name(weights.name, "yaml"))
            path.write_text(yaml.safe_dump(dict(weights.keys)), encoding="utf-8")
            layers.append(str(path))
        yield layers


def with_licence(files: Files, weights: Published | None) -> Files:
    """Say in the documents of a package which licence its weights have.

    Args:
        files: of the package; without weights nothing changes.
        weights: what the registry states of them; None: somebody's own weights, of which nothing is known here.
    """
    if LISTING not in files and not any(name.endswith((".pt", ".ts")) for name in files):
        return files
    terms = "The weights were added by whoever packed this bundle; ask there for their licence."
    if weights:
        terms = f"The weights are under {weights.licence}: {weights.attribution}"
    where = "`docs/data_license.txt` has the licence of the weights."
    told = {"docs/data_license.txt": terms, "docs/README.md": where}
    changed = {
        name: files[name].replace(old.encode(), f"No data are included. {told[name]}".encode())
        for name, old in WITHOUT_WEIGHTS.items()
        if name in files
    }
    return {**files, **changed}


def linked(files: Files, weights: Published) -> Files:
    """Take the tensors of published weights out of a package, and list them in ``large_files.yml`` of the zoo.

    ``monai.bundle.download_large_files`` then downloads them. The cards, which are small, stay.

    Raises:
        ValueError: if their URL is not published yet.
    """
    listed = []
    for file in (file for file in weights.files if f"models/{file.name}" in files and file.name.endswith(".pt")):
        if file.url is None:
            raise ValueError(f"--link_weights needs the URL of {weights.name}, which is not published yet")
        entry = {"path": f"models/{file.name}", "url": file.url, "hash_val": file.sha256, "hash_type": "sha256"}
        listed.append(entry)
    kept = {name: data for name, data in files.items() if name not in {entry["path"] for entry in listed}}
    return {**kept, LISTING: yaml.safe_dump({"large_files": listed}, sort_keys=False).encode()}
