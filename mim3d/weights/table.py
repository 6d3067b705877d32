"""The table of published weights in docs/weights.md. Imports nothing heavy, because `mim3d render` uses it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from custom_components.published import Published, read_registry
from mim3d.catalog import ROOT

DOCUMENT = ROOT / "docs" / "weights.md"
#: What stands before and behind the rendered text.
BEGIN = "<!-- Rendered by `mim3d render` from custom_components/published.json. Edit that file, not this text. -->"
END = "<!-- End of the rendered text. -->"


def rendered_document(document: Path = DOCUMENT, registry: Path | None = None) -> dict[Path, str]:
    """Return the document with its table of weights, as the registry states them.

    Raises:
        ValueError: if the document has no place for the table.
    """
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{document} must hold the lines {BEGIN} and {END} once")
    weights, aliases = read_registry(registry)
    table = weights_text(list(weights.values()), aliases)
    return {document: pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text)}


def weights_text(weights: list[Published], aliases: dict[str, str]) -> str:
    """Return the table, and how each of the weights was made; ``none yet`` without weights."""
    if not weights:
        return "None yet."
    rows = ["| name | network and view | size | licence | scores |", "|---|---|---|---|---|"]
    rows += [_row(entry, [short for short, name in aliases.items() if name == entry.name]) for entry in weights]
    return "\n".join([*rows, "", *map(_made, weights)])


def _row(weights: Published, short: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in [*short, weights.name])
    keys = [f"`--{key} {shlex.quote(str(value))}`" for key, value in weights.keys.items()]
    settings = ", ".join([f"`{weights.bundle}`", *(f"`{layer}`" for layer in weights.layers), *keys])
    scores = f"[{Path(weights.result).name}](../{weights.result})" if weights.result else "not measured"
    return f"| {names} | {settings} | {weights.size / 1e6:.1f} MB | {weights.licence} | {scores} |"


def _made(weights: Published) -> str:
    """Return one line on how weights were made, and their hash."""
    attribution, model = weights.attribution.rstrip("."), weights.files[0]
    return (
        f"- `{weights.name}`: {attribution}. Made with `{weights.command}`, seed {weights.seed}. "
        f"sha256 of {model.name}: `{model.sha256}`."
    )
