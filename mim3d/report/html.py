"""Parts of an HTML report that is one file: tables, numbers, pictures inside the page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def page(title: str, parts: Sequence[str]) -> str:
    """Return a page with a title and its parts."""
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</html>"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a table cell, or ``not measured`` for None."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def embedded(picture: Path, text: str) -> str:
    """Return a PNG as part of the page, with the text for readers who cannot see it."""
    data = base64.b64encode(picture.read_bytes()).decode()
    return f"<img src='data:image/png;base64,{data}' alt='{html.escape(text, quote=True)}'>"
