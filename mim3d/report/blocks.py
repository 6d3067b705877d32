"""A report as a list of blocks, written as one HTML page that stands alone and as Markdown."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mim3d.report.html import embedded, page, table


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph, which may be emphasised."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Items:
    """A list of short texts."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows."""

    path: Path
    text: str


@dataclass(frozen=True)
class Code:
    """Text with its line breaks, such as the end of a log."""

    text: str


Block = Heading | Text | Items | Table | Picture | Code


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """Return a page that needs no other file."""
    return page(title, [_html(block) for block in blocks])


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """Return Markdown for a file in ``folder``; pictures are links."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        text = html.escape(block.text)
        return f"<p><strong>{text}</strong></p>" if block.strong else f"<p>{text}</p>"
    if isinstance(block, Items):
        return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Table):
        return table(block.head, block.rows)
    if isinstance(block, Code):
        return f"<pre>{html.escape(block.text)}</pre>"
    return f"<figure>{embedded(block.path, block.text)}<figcaption>{html.escape(block.text)}</figcaption></figure>"


def _markdown(block: Block, folder: Path) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Text):
        return f"**{block.text}**" if block.strong else block.text
    if isinstance(block, Items):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Table):
        lines = [block.head, ["---"] * len(block.head), *block.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    if isinstance(block, Code):
        return f"```text\n{block.text}\n```"
    return f"![{block.text}]({Path(os.path.relpath(block.path, folder)).as_posix()})\n\n{block.text}"
