"""The section of a packed README that says how the package differs from the bundle: layers, keys and weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from custom_components.published import Published, asset_name
from mim3d.package.folders import Files

README, CARD = "docs/README.md", "models/model.card.json"
#: The section is put before this heading, which every bundle's README has.
BEFORE = "\n## Data\n"


def with_note(files: Files, layers: Sequence[str], published: Published | None) -> Files:
    """Add the section to the README of a package that was changed by layers or holds published weights.

    Args:
        files: of the package.
        layers: those that were merged into its configs: names or paths.
        published: what the registry states of its weights; None: they are not published, or there are none.
    """
    lines = [*_merged(layers, published), *_weights(files, published)]
    text = files[README].decode()
    if not lines or BEFORE not in text:
        return files
    section = "\n".join(["\n## This package", *lines, ""])
    return {**files, README: text.replace(BEFORE, section + BEFORE, 1).encode()}


def _merged(layers: Sequence[str], published: Published | None) -> list[str]:
    """Say which layers and keys are in the configs; the keys of published weights are a layer of their own."""
    keys = published.keys if published else {}
    own = asset_name(published.name, "yaml") if published else None
    named = [f"`{Path(layer).name}`" for layer in layers if Path(layer).name != own]
    named += [f"`{key}` {value}" for key, value in keys.items()]
    if not named:
        return []
    return [
        f"Merged into `train` and `inference` in `configs`: {', '.join(named)}. "
        "Where the text below names another network, view or crop, these count."
    ]


def _weights(files: Files, published: Published | None) -> list[str]:
    """Say which published weights these are, and what their card states."""
    if published is None:
        return []
    lines = [f"The weights are `{published.name}`; `custom_components/published.json` has their training command."]
    metric = json.loads(files.get(CARD, b"{}")).get("metric") or {}
    scores = ", ".join(f"`{name}` {value:.4f}" for name, value in metric.items())
    if scores:
        lines.append(f"On the validation cases of their training: {scores}.")
    if published.result:
        lines.append(f"`{published.result}` of the repository has their scores. Performance is about other runs.")
    return lines
