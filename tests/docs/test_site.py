"""The documents as a site: every page is in its navigation, and every link of the pages leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mim3d.catalog import METHODS, ROOT, TASKS

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def listed(nav: Any) -> Iterator[tuple[str | None, str]]:
    """Title and path or pattern of each entry of a navigation."""
    for entry in nav:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, str):
            yield title, value
        else:
            yield from listed(value)


def test_the_navigation_has_each_document_and_each_bundle() -> None:
    entries = list(listed(CONFIG["nav"]))
    found = {path for _, pattern in entries for path in ROOT.glob(pattern)}
    assert all(any(ROOT.glob(pattern)) for _, pattern in entries)
    bundles = [group.bundle for group in (*METHODS.values(), *TASKS.values())]
    assert {
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(bundle / "docs" / "README.md" for bundle in bundles),
    } <= found
    titles = {pattern: title for title, pattern in entries}
    assert all(titles[f"bundles/{bundle.name}/docs/README.md"] == bundle.name for bundle in bundles)


def test_docstrings_have_no_sphinx_roles_which_the_site_would_print() -> None:
    files = (ROOT / "custom_components").rglob("*.py")
    assert [path.name for path in files if re.search(r":[a-z]+:`", path.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for plugin in (
        "mkdocs",
        "material",
        "mkdocstrings",
        "mkdocs_same_dir",
        "mkdocs_literate_nav",
        "mkdocs_api_autonav",
    ):
        pytest.importorskip(plugin, reason="the extra 'docs' is not installed (pip install -e '.[docs]')")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = {path.parent.relative_to(tmp_path / "site").as_posix() for path in tmp_path.rglob("index.html")}
    modules = {path.with_suffix("") for path in (ROOT / "custom_components").rglob("*.py")}
    named = {path.parent if path.name == "__init__" else path for path in modules}
    expected = {".", "CHANGELOG", "docs/data", "bundles/seg_btcv/docs", "benchmarks"}
    assert expected | {f"reference/{path.relative_to(ROOT).as_posix()}" for path in named} <= pages
    start = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'href="docs/results/"' in start
    assert 'href="docs/choosing/#which-method-and-network"' in start
    # Files of the theme: exclude_docs would leave them out, too.
    linked = re.findall(r'(?:src|href)="(assets/[^"]+)"', start)
    assert linked
    assert [name for name in linked if not (tmp_path / "site" / name).is_file()] == []
