"""What the tests of data lists share: files to list, and short forms of what is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from custom_components.data import DataList


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def load_datalist(folder: Path | str, section: str | list[str], **options: Any) -> list[dict]:
    return DataList(folder, **options).items(section)


def names(items: list[dict]) -> list[str]:
    return [Path(item["image"]).name for item in items]
