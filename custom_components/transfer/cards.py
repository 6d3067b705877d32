"""The weights card: a JSON file beside a weights file that says what the weights belong to."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import monai
import torch

import custom_components

CARD_SUFFIX = ".card.json"
# Arguments that differ on purpose: the output layer is never transferred, and recomputing saves memory alone.
FREE_ARGUMENTS = ("out_channels", "use_checkpoint")


def card_path(weights: str | os.PathLike[str]) -> Path:
    """``models/model.pt`` -> ``models/model.card.json``."""
    return Path(weights).with_suffix(CARD_SUFFIX)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _commit() -> str | None:
    """Commit of the source tree this package runs from; ``None`` for an installed or unpacked copy.

    ``+changes`` is added where the package's files are not those of the commit.
    """

    def git(*arguments: str) -> str:
        # No optional locks: several runs, or the user's own git, may be at work in this tree.
        command = ["git", "--no-optional-locks", "-C", str(Path(custom_components.__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def provenance() -> dict[str, Any]:
    """Versions, commit, machine and time, for every file that states a result."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "versions": {
            "custom_components": custom_components.__version__,
            "monai": monai.__version__,
            "torch": torch.__version__,
        },
        "commit": _commit(),
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cpus": os.cpu_count(), "gpu": gpu},
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON under a temporary name and move it into place, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def write_card(weights: str | os.PathLike[str], card: Mapping[str, Any]) -> Path:
    """Write the card of a weights file that exists; versions, commit, time and sha256 are added here.

    Args:
        weights: the weights file.
        card: method, ``network`` (class and arguments), ``view`` (channels in order, roi in voxels, spacing in
            mm, orientation, intensity) and ``datalist_hash``, as the config states them; ``trained``, where the
            method did not train everything: see `trained_prefixes`.
    """
    content = {**card, **provenance(), "sha256": file_sha256(weights)}
    path = card_path(weights)
    write_json(path, content)
    return path


def read_card(weights: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read and verify the card beside a weights file; ``None`` where there is none.

    Raises:
        ValueError: when the card is no JSON object or its sha256 is not the file's.
    """
    path = card_path(weights)
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} holds {type(card).__name__}; a weights card is a JSON object")
    found = file_sha256(weights)
    if card.get("sha256") != found:
        raise ValueError(
            f"{weights} has sha256 {found}, its card {path.name} says {card.get('sha256')}: the file is damaged, "
            "or the card belongs to another one (delete the card to load without its checks)"
        )
    return card


def trained_prefixes(card: Mapping[str, Any] | None, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Prefixes of the state-dict keys that the weights' method trained; ``("",)`` where no card states any.

    Args:
        card: content of the card, ``None`` where there is none.
        path: the weights file, for the message.

    Raises:
        ValueError: when the card's ``trained`` is no list of text.
    """
    stated = (card or {}).get("trained", [""])
    if not isinstance(stated, list) or not all(isinstance(prefix, str) for prefix in stated):
        raise ValueError(
            f"{card_path(path)} says that {stated!r} is trained; allowed: a list of state-dict prefixes"
        )
    return tuple(stated)


def _plain(content: object) -> Any:
    """As a card would hold it: tuples become lists, what JSON lacks becomes text."""
    return json.loads(json.dumps(content, default=str))


def compare_views(card_view: Mapping[str, Any], config_view: Mapping[str, Any]) -> list[str]:
    """What differs between the view the weights were trained on and the view they shall see, one line each."""
    plain = _plain(config_view)
    return [
        f"{key}: pretrained with {card_view[key]}, this config has {plain[key]}"
        for key in plain
        if key in card_view and card_view[key] != plain[key]
    ]


def compare_networks(
    card_network: Mapping[str, Any] | None, config_network: Mapping[str, Any], ignored: Sequence[str] = ()
) -> list[str]:
    """What differs between the network the weights were trained in and the one they shall go into.

    An argument stated by one side alone is named too: whether the other's default equals it is not known here.

    Args:
        card_network: ``{"class": name, "arguments": {...}}``; anything else counts as not stated.
        config_network: the same, of the config.
        ignored: arguments left aside besides `FREE_ARGUMENTS`.

    Returns:
        one line per difference: the class first, then the arguments in the order of the config.
    """
    ours, theirs = _flat_network(_plain(config_network)), _flat_network(_plain(card_network))
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
            lines.append(f"{key}: pretrained with {theirs[key]}, this config has {ours[key]}")
    return lines


def _flat_network(network: object) -> dict[str, Any]:
    """Class and arguments in one dictionary; ``class`` is a keyword, so no argument has that name."""
    if not isinstance(network, dict):
        return {}
    arguments = network.get("arguments")
    named = {"class": network["class"]} if "class" in network else {}
    return {**named, **(arguments if isinstance(arguments, dict) else {})}
