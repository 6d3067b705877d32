"""The text of a layer: each decision's reason as a comment, and its key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import yaml

from mim3d.plan.decisions import Decision

_WIDTH = 115
_ASCII = str.maketrans({"×": "x", "…": "...", "→": "->", "³": "^3"})


def layer_text(title: str, decisions: Iterable[Decision], layer: str) -> str:
    """Return the content of a config layer, in ASCII, since MONAI reads configs in the locale's encoding.

    Args:
        title: its first line, without ``#``.
        decisions: in the order of the layer; those of other layers are left out.
        layer: ``pretrain`` or ``segment``.
    """
    parts, last = [_comment(title)], ""
    for decision in decisions:
        if layer in decision.layers:
            parts += [_comment(decision.reason)] if decision.reason != last else []
            parts.append(_entry(decision))
            last = decision.reason
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    text = text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_long_words=False))


def _entry(decision: Decision) -> str:
    """Return ``key: value``; lists, and mappings without further ones in them, stand in one line."""
    flow = None if isinstance(decision.value, (dict, list)) else False
    content = {decision.key: decision.value}
    text = yaml.safe_dump(content, default_flow_style=flow, width=_WIDTH, sort_keys=False)
    return str(text).rstrip()
