"""``mim3d render``: write the bundles' configs and documents from their sources, or compare them."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from mim3d.catalog import BUNDLES, ROOT

DESCRIPTION = """\
Write the configs, metadata and documents of every bundle from their sources: bundles/*/task.yaml, method.yaml and
readme.md, and bundles/_shared. Edit a source, never a rendered file. Its first line names its sources.
The table of docs/weights.md is written from custom_components/published.json."""
EXAMPLE = """\
examples:
  mim3d render
  mim3d render --check"""


def left_over(rendered: dict[Path, str], bundles: Path = BUNDLES) -> list[Path]:
    """Files that an earlier rendering wrote and that no source makes any more."""
    from mim3d.templates import MARK

    found = [path for path in sorted(bundles.glob("*/configs/*.yaml")) if path not in rendered]
    return [path for path in found if path.read_text(encoding="utf-8").startswith(f"# {MARK}")]


def differences(rendered: dict[Path, str], bundles: Path = BUNDLES) -> list[str]:
    """A unified diff for each file that was edited by hand, is missing or is left over."""
    found = []
    for path, text in {**rendered, **dict.fromkeys(left_over(rendered, bundles), "")}.items():
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        if there != text:
            old, new = (content.splitlines(keepends=True) for content in (there, text))
            name = path.relative_to(bundles.parent).as_posix()
            found.append("".join(difflib.unified_diff(old, new, f"{name} (found)", f"{name} (rendered)")))
    return found


def write(rendered: dict[Path, str], bundles: Path = BUNDLES) -> list[Path]:
    """Write what changed and remove what is left over; returns the paths that were touched."""
    from custom_components.atomic import write_text

    changed = [p for p, text in rendered.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    removed = left_over(rendered, bundles)
    for path in changed:
        write_text(path, rendered[path])
    for path in removed:
        path.unlink()
    return changed + removed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    shows = "write nothing; show how files differ from their sources, and end with status 1 if any does"
    parser.add_argument("--check", action="store_true", help=shows)


def run(arguments: argparse.Namespace) -> None:
    """Render, and write or compare.

    Raises:
        SystemExit: with --check, if a file differs from its sources.
        ValueError: if a source has a mistake.
    """
    from mim3d.templates import render_all
    from mim3d.weights.table import rendered_document

    rendered = render_all() | rendered_document()
    if not arguments.check:
        touched = write(rendered)
        for path in touched:
            print(path.relative_to(ROOT).as_posix())
        print(f"{len(touched)} of {len(rendered)} files changed")
        return
    found = differences(rendered)
    if found:
        print("".join(found))
        raise SystemExit(f"error: {len(found)} files differ from their sources; edit those and run mim3d render")
    print(f"{len(rendered)} rendered files are up to date")
