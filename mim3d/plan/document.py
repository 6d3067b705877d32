"""The text of plan.md: a picture, a row for each decision, warnings and commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from mim3d.plan.cost import MEMORY_FORMULA, TIME_FORMULA
from mim3d.plan.decisions import BOTH, Decision

_LONGEST = 90  # characters of a value in the table


def plan_text(
    facts: Sequence[str],
    picture: str,
    outlines: Iterable[str],
    decisions: Iterable[Decision],
    warnings: Sequence[str],
    commands: Sequence[tuple[str, str]],
) -> str:
    """Return the content of plan.md.

    Args:
        facts: what was read, one sentence each.
        picture: name of the picture's file.
        outlines: what the picture shows.
        decisions: those that have a row.
        warnings: what the reader should look at.
        commands: what a command does, and the command.
    """
    parts = ["# Plan", *facts]
    if warnings:
        parts += ["", "**Look at this first:**", "", *(f"- {warning}" for warning in warnings)]
    parts += ["", f"![Middle slices]({picture})", "", f"Drawn in true size: {'; '.join(outlines)}."]
    parts += ["", "## Decisions", "Change a key in the layer, or on the command line of a run.", ""]
    parts += ["| key | value | layer | reason |", "|---|---|---|---|"]
    for made in decisions:
        if made.shown:
            layer = "both" if made.layers == BOTH else " and ".join(f"`{name}.yaml`" for name in made.layers)
            parts.append(f"| `{made.key}` | {_cell(shown_value(made.value))} | {layer} | {_cell(made.reason)} |")
    parts += ["", "The layers hold some more keys, which follow from these.", "", "## How a step is estimated"]
    parts += [f"- Memory: {MEMORY_FORMULA}.", f"- Time: {TIME_FORMULA}.", "", "## Commands"]
    for about, command in commands:
        parts += [f"{about}:", "```bash", command, "```"]
    return "\n".join(parts) + "\n"


def shown_value(value: Any) -> str:
    """Return a value in one line, as in YAML; of a component its class, and of long ones the beginning."""
    if isinstance(value, dict) and "_target_" in value:
        arguments = {key: part for key, part in value.items() if key not in ("_target_", "_mode_", "keys")}
        text = f"{value['_target_']} {shown_value(arguments)}"
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
        text = text.removesuffix("\n...\n").rstrip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
