"""Rooms of custom_components import only the rooms above them in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imported_rooms(file: Path) -> set[str]:
    """Names that follow ``custom_components.`` in a file's absolute imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("custom_components.")}
    return found


def test_each_room_imports_only_rooms_above_it() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## Rooms of custom_components")[1].split("\n## ")[0]
    names = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    order = {room: place for place, room in enumerate(re.findall(r"`(\w+)`", names))}
    package = ROOT / "custom_components"
    assert {path.parent.name for path in package.glob("*/__init__.py")} == set(order)
    wrong = [
        f"{file.relative_to(package)} imports {room}"
        for file in package.glob("*/*.py")
        for room in imported_rooms(file)
        if order.get(room, -1) > order[file.parent.name]
    ]
    assert wrong == []
