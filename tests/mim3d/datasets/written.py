"""What a written data list says."""

from __future__ import annotations

import json
from pathlib import Path


def content(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def images(path: Path, section: str) -> list[str]:
    return [item["image"] for item in content(path)[section]]
