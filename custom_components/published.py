"""The registry of published weights: ``published.json`` beside this module, which every packed bundle carries.

docs/weights.md explains its fields. `mim3d weights add` writes it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_components.atomic import read_json

REGISTRY = Path(__file__).with_name("published.json")
#: Where a repository, or a bundle that was unpacked, holds copies: ``weights/<name>/model.pt``.
LOCAL = Path(__file__).resolve().parents[1] / "weights"
#: Environment variable with the URL of the folder that holds all files. It replaces ``base_url`` of the registry.
URL_VARIABLE = "MIM3D_WEIGHTS_URL"
#: The files that published weights may have. Each entry has the first one, and lists it first.
FILES = ("model.pt", "model.card.json", "pretext.pt", "pretext.card.json")


@dataclass(frozen=True)
class PublishedFile:
    """One file of published weights.

    Attributes:
        name: one of `FILES`.
        sha256: hexadecimal digest of its content.
        bytes: its size.
        url: where it is downloaded from; None: not published yet.
    """

    name: str
    sha256: str
    bytes: int
    url: str | None


@dataclass(frozen=True)
class Published:
    """Published weights.

    Attributes:
        name: for example ``hippocampus/pretrain_hybridmim``.
        bundle: the bundle that they were trained with.
        layers: its layers that give its configs this network and view.
        keys: further keys of the config for that, with their values.
        files: the weights, their card, and what else belongs to them.
        licence: of the weights.
        attribution: the text that the licence asks for.
        command: exact command of the training.
        seed: of the training.
        result: file in the repository with the scores; None: not measured.
    """

    name: str
    bundle: str
    layers: tuple[str, ...]
    keys: Mapping[str, Any]
    files: tuple[PublishedFile, ...]
    licence: str
    attribution: str
    command: str
    seed: int
    result: str | None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.bytes for file in self.files)

    def file(self, name: str) -> PublishedFile:
        """Return one of the files.

        Raises:
            ValueError: if these weights have no such file.
        """
        found = {file.name: file for file in self.files}
        if name not in found:
            raise ValueError(f"published weights {self.name} have no {name}; allowed: {', '.join(found)}")
        return found[name]


def asset_name(name: str, file: str) -> str:
    """Return a file's name on the server, where all files are in one folder (a release page has no folders).

    ``hippocampus/pretrain_mae`` and ``model.pt`` give ``hippocampus.pretrain_mae.model.pt``.
    """
    return f"{name.replace('/', '.')}.{file}"


def read_registry(registry: Path | None = None) -> tuple[dict[str, Published], dict[str, str]]:
    """Read the registry.

    Args:
        registry: the JSON file; None: the one beside this module.

    Returns:
        Name -> weights, and short name -> name.

    Raises:
        ValueError: if the file cannot be read or an entry lacks a field.
    """
    path = registry or REGISTRY
    content = read_json(path)
    base = os.environ.get(URL_VARIABLE) or content.get("base_url")
    try:
        weights = {name: _entry(name, fields, base) for name, fields in content["weights"].items()}
        return weights, dict(content["aliases"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no registry of weights: {type(error).__name__}: {error}") from None


def _entry(name: str, fields: Mapping[str, Any], base: str | None) -> Published:
    files = tuple(
        PublishedFile(file, **stated, url=f"{base.rstrip('/')}/{asset_name(name, file)}" if base else None)
        for file, stated in fields["files"].items()
    )
    return Published(name, **{**fields, "layers": tuple(fields["layers"]), "files": files})


def find_published(name: str) -> Published:
    """Return the weights with a name or a short name.

    Raises:
        ValueError: if no weights have this name; the message gives the nearest names.
    """
    weights, aliases = read_registry()
    found = aliases.get(name, name)
    if found not in weights:
        near = difflib.get_close_matches(name, [*weights, *aliases], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"no file and no published weights have the name {name!r}; {hint}published: "
            f"{', '.join([*aliases, *weights]) or 'none yet'}"
        )
    return weights[found]


def is_published(name: str) -> bool:
    """Return whether published weights have this name or short name."""
    weights, aliases = read_registry()
    return name in weights or name in aliases
