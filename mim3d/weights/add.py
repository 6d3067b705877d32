"""Adding weights to the repository: their files to ``weights``, and an entry to the registry."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from custom_components import published
from custom_components.atomic import json_text, read_json, write_together
from custom_components.machine import readable
from custom_components.published import Published, PublishedFile, find_published
from custom_components.transfer import card_path, file_sha256, read_card
from mim3d.catalog import ROOT
from mim3d.package.folders import find_bundle
from mim3d.package.published import layers_of
from mim3d.package.weights import check_weights, pretext_beside

#: Bytes that all weights of the repository may have together.
MOST_BYTES = 40 * 10**6


def add_weights(file: Path, name: str, short: str | None, fields: Mapping[str, Any]) -> Published:
    """Copy weights into ``weights/<name>`` and write their entry; both or neither is on disk afterwards.

    Args:
        file: the weights that a training wrote. Their card must lie beside them. If the bundle's inference reads
            pretext.pt, that file is added too if it lies beside them.
        name: for example ``hippocampus/pretrain_mae``; an entry of this name is replaced.
        short: a short name for them, for example ``hippocampus``; None: none.
        fields: the fields of `Published` but name and files.

    Raises:
        ValueError: if the weights do not fit the bundle with these layers and keys, have no card, or are too
            large, or if a field is wrong.
    """
    _check_fields(name, fields)
    bundle = find_bundle(fields["bundle"])
    if not file.is_file():
        raise ValueError(f"{file} does not exist")
    if read_card(file) is None:
        raise ValueError(f"{file} has no card beside it ({card_path(file).name}); training writes one")
    weights = {"model": file}
    pretext = pretext_beside(bundle, file)
    weights |= {"pretext": pretext} if pretext and pretext.is_file() else {}
    sources = {f"{stem}.pt": path for stem, path in weights.items()}
    cards = {f"{stem}.card.json": card_path(path) for stem, path in weights.items()}
    sources |= {card: path for card, path in cards.items() if path.is_file()}
    files = tuple(PublishedFile(n, file_sha256(p), p.stat().st_size, None) for n, p in sources.items())
    with layers_of(Published(name, **fields, files=files)) as layers:
        check_weights(bundle, layers, file)
        if "pretext" in weights:
            check_weights(bundle, layers, weights["pretext"], "pretext")
    _check_size(name, sum(stated.bytes for stated in files))
    stated = {entry.name: {"sha256": entry.sha256, "bytes": entry.bytes} for entry in files}
    _write(name, short, {**fields, "files": stated}, sources)
    return find_published(name)


def _check_fields(name: str, fields: Mapping[str, Any]) -> None:
    if not re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", name):
        raise ValueError(f"the name is {name!r}; allowed: like hippocampus/pretrain_mae, in lower case")
    if f"bundles/{fields['bundle']}" not in fields["command"]:
        raise ValueError(f"the command does not name bundles/{fields['bundle']}: {fields['command']!r}")
    if found := re.search(r"(?<![\w./])/\w\S*", fields["command"]):
        raise ValueError(f"the command holds {found[0]}, a path of this machine; write DATA and OUT in its place")
    if fields["result"] and not (ROOT / fields["result"]).is_file():
        raise ValueError(f"the result {fields['result']} is no file of the repository")


def _check_size(name: str, size: int) -> None:
    others = (path for path in published.LOCAL.rglob("*") if path.is_file())
    folder = published.LOCAL / name
    total = size + sum(path.stat().st_size for path in others if path.parent != folder)
    if total > MOST_BYTES:
        raise ValueError(f"all weights together would have {readable(total)}; allowed: {readable(MOST_BYTES)}")


def _write(name: str, short: str | None, entry: Mapping[str, Any], sources: Mapping[str, Path]) -> None:
    content = read_json(published.REGISTRY)
    content["weights"][name] = entry
    if short:
        content["aliases"][short] = name
    writers: dict[Path, Any] = {
        published.LOCAL / name / file: partial(shutil.copyfile, path) for file, path in sources.items()
    }
    text = json_text(content)
    writers[published.REGISTRY] = lambda path: path.write_text(text, encoding="utf-8")
    write_together(writers)
