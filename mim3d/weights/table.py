"""The tables in docs/weights.md: published weights, and how to train the bundles that have none.

Imports nothing heavy, because `mim3d render` uses it.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from custom_components.published import Published, read_registry
from mim3d.catalog import METHODS, ROOT, TASKS

DOCUMENT = ROOT / "docs" / "weights.md"
#: Estimates of benchmarks/training_cost.py.
COSTS = ROOT / "benchmarks" / "results" / "training_cost.json"
#: What stands before and behind the rendered text.
BEGIN = "<!-- Rendered by `mim3d render` from custom_components/published.json. Edit that file, not this text. -->"
END = "<!-- End of the rendered text. -->"


def rendered_document(document: Path = DOCUMENT, registry: Path | None = None) -> dict[Path, str]:
    """Return the document with its tables: weights as the registry states them, and bundles without weights.

    Raises:
        ValueError: if the document has no place for the table.
    """
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{document} must hold the lines {BEGIN} and {END} once")
    weights, aliases = read_registry(registry)
    table = f"{weights_text(list(weights.values()), aliases)}\n\n{untrained_text(list(weights.values()))}"
    return {document: pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text)}


def weights_text(weights: list[Published], aliases: dict[str, str]) -> str:
    """Return the table, and where each of the weights comes from; ``none yet`` without weights."""
    if not weights:
        return "None yet."
    rows = ["| name | network and view | size | licence | scores |", "|---|---|---|---|---|"]
    rows += [_row(entry, [short for short, name in aliases.items() if name == entry.name]) for entry in weights]
    return "\n".join([*rows, "", *map(_origin, weights)])


def _row(weights: Published, short: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in [*short, weights.name])
    keys = [f"`--{key} {shlex.quote(str(value))}`" for key, value in weights.keys.items()]
    settings = ", ".join([f"`{weights.bundle}`", *(f"`{layer}`" for layer in weights.layers), *keys])
    scores = f"[{Path(weights.result).name}](../{weights.result})" if weights.result else "not measured"
    return f"| {names} | {settings} | {weights.size / 1e6:.1f} MB | {weights.licence} | {scores} |"


def _origin(weights: Published) -> str:
    """Return one line on whose data weights come from, and their seed and hash."""
    attribution, model = weights.attribution.rstrip("."), weights.files[0]
    return f"- `{weights.name}`: {attribution}. Seed {weights.seed}. sha256 of {model.name}: `{model.sha256}`."


def untrained_text(weights: list[Published]) -> str:
    """Return a table of the bundles without published weights, and what training each costs."""
    trained = {entry.bundle for entry in weights}
    every = [method.bundle for method in METHODS.values()] + [task.bundle for task in TASKS.values()]
    bundles = [bundle for bundle in every if bundle.name not in trained]
    if not bundles:
        return "Every bundle has published weights."
    head = ("bundle without weights", "training", "volumes", "steps", "days on a CPU")
    costs = json.loads(COSTS.read_text(encoding="utf-8"))["bundles"]
    rows = [f"| {' | '.join(head)} |", "|---|---|---|---:|---:|"]
    return "\n".join([*rows, *(_untrained(bundle, costs[bundle.name]) for bundle in bundles)])


def _untrained(bundle: Path, cost: dict[str, Any]) -> str:
    import yaml

    config = yaml.safe_load((bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    crops, side = config["batch_size"] * config["num_samples"], " × ".join(map(str, config["roi_size"]))
    training = f"{config['epochs']} epochs, {crops} crop{'s' * (crops > 1)} of {side} a step"
    days = f"{cost['days']:.0f}" if cost["days"] >= 10 else f"{cost['days']:.1f}"
    volumes = f"{cost['volumes']} ({cost['which']})"
    link = f"[`{bundle.name}`](../bundles/{bundle.name}/docs/README.md)"
    return f"| {link} | {training} | {volumes} | {cost['steps']:,} | {days} |"
