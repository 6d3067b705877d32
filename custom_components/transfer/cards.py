"""The weights card: a JSON file beside a weights file that says what the weights belong to."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import monai
import torch

import custom_components
from custom_components.atomic import read_json, write_json

from .read import FilePath, file_version

CARD_SUFFIX = ".card.json"
#: Arguments that differ on purpose: the output layer is never transferred; checkpointing only saves memory.
FREE_ARGUMENTS = ("out_channels", "use_checkpoint")


def card_path(weights: FilePath) -> Path:
    """Return the path of a file's card: ``models/model.card.json`` for ``models/model.pt``."""
    return Path(weights).with_suffix(CARD_SUFFIX)


def file_sha256(path: FilePath) -> str:
    """Return the hexadecimal digest of a file's content; an unchanged file is read once."""
    return _sha256(*file_version(path))


@lru_cache(maxsize=16)
def _sha256(path: str, size: int, changed_ns: int) -> str:
    return _hash(path)


def _hash(path: FilePath) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def git_commit(folder: Path, *paths: str) -> str | None:
    """Return the commit of a source tree, with ``+changes`` if the named paths (relative to it) differ.

    Returns None without git, or outside a source tree (an installed or unpacked copy).
    """

    def git(*arguments: str) -> str:
        # No optional locks: other runs, or the user, may be using git in this tree.
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", *paths) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def provenance() -> dict[str, Any]:
    """Return versions, commit, machine and time, for every file that states a result."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "versions": {
            "custom_components": custom_components.__version__,
            "monai": monai.__version__,
            "torch": torch.__version__,
        },
        "commit": git_commit(Path(custom_components.__file__).parent, "."),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cpus": os.cpu_count(), "gpu": gpu},
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write_card(weights: FilePath, card: Mapping[str, Any]) -> Path:
    """Write the card of an existing weights file and return its path; `provenance` and sha256 are added here.

    Args:
        weights: the weights file.
        card: method, ``network`` (class and arguments), ``view`` (channels in order, roi in voxels, spacing in
            mm, orientation, intensity) and ``datalist_hash``, as the config states them; ``trained`` if the
            method trained only a part of the network, see `trained_prefixes`.
    """
    path = card_path(weights)
    write_json(path, card_content(weights, card))
    return path


def card_content(weights: FilePath, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `write_card` writes for a weights file."""
    # Not from the cache: two writes within one tick of the file system's clock look like one.
    return {**card, **provenance(), "sha256": _hash(weights)}


def read_card(weights: FilePath) -> dict[str, Any] | None:
    """Read and verify the card beside a weights file; return None if there is none.

    Raises:
        ValueError: if the card is not a JSON object or its sha256 is not that of the file.
    """
    path = card_path(weights)
    if not path.is_file():
        return None
    card = read_json(path)
    if card.get("sha256") != (found := file_sha256(weights)):
        raise ValueError(
            f"{weights} has sha256 {found}, but its card {path.name} says {card.get('sha256')}: the file is "
            "damaged, or the card belongs to another file (delete the card to load without its checks)"
        )
    return card


def trained_prefixes(card: Mapping[str, Any] | None, path: FilePath) -> tuple[str, ...]:
    """Return prefixes of the state-dict keys that the method trained; ``("",)``, all keys, if no card says so.

    Args:
        card: content of the card; None if there is none.
        path: the weights file, for the message.

    Raises:
        ValueError: if the card's ``trained`` is not a list of strings.
    """
    stated = (card or {}).get("trained", [""])
    if not isinstance(stated, list) or not all(isinstance(prefix, str) for prefix in stated):
        raise ValueError(f"{card_path(path)}: trained is {stated!r}; allowed: a list of state-dict prefixes")
    return tuple(stated)


def compare_views(card_view: Mapping[str, Any], config_view: Mapping[str, Any]) -> list[str]:
    """Return one line for each entry of ``view`` (how the image is preprocessed) that both state differently."""
    ours = plain(config_view)
    return [
        _difference(key, card_view[key], ours[key])
        for key in ours
        if key in card_view and card_view[key] != ours[key]
    ]


def compare_networks(
    card_network: Mapping[str, Any] | None, config_network: Mapping[str, Any], ignored: Sequence[str] = ()
) -> list[str]:
    """Return one line for each difference between the pretrained network and this one: class, then arguments.

    An argument that only one side states is also listed, because the other side's default is not known here.

    Args:
        card_network: ``{"class": name, "arguments": {...}}``; anything else counts as not stated.
        config_network: the same, of the config.
        ignored: arguments to leave out besides `FREE_ARGUMENTS`.
    """
    ours, theirs = _flat_network(plain(config_network)), _flat_network(plain(card_network))
    if not theirs:
        return ["network: not stated in the weights card"]
    lines = []
    for key in dict.fromkeys([*ours, *theirs]):
        if key in (*FREE_ARGUMENTS, *ignored):
            continue
        if key not in theirs:
            lines.append(f"{key}: not stated in the weights card, this config has {ours[key]}")
        elif key not in ours:
            lines.append(f"{key}: pretrained with {theirs[key]}, not stated in this config")
        elif ours[key] != theirs[key]:
            lines.append(_difference(key, theirs[key], ours[key]))
    return lines


def _difference(key: str, theirs: Any, ours: Any) -> str:
    return f"{key}: pretrained with {theirs}, this config has {ours}"


def plain(content: object) -> Any:
    """Return the content as a JSON file would hold it: tuples become lists, unknown types become text."""
    return json.loads(json.dumps(content, default=str))


def _flat_network(network: object) -> dict[str, Any]:
    """Merge class and arguments into one dictionary; no argument is called ``class``, a Python keyword."""
    if not isinstance(network, dict):
        return {}
    arguments = network.get("arguments")
    named = {"class": network["class"]} if "class" in network else {}
    return {**named, **(arguments if isinstance(arguments, dict) else {})}
