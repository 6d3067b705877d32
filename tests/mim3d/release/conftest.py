"""A git repository with two real bundles, for releases."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from custom_components import __version__
from mim3d.catalog import BUNDLES
from mim3d.release.repository import git

NAMES = ("pretrain_simmim", "seg_btcv")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, two bundles, a changelog and a remote."""
    root = tmp_path / "repository"
    for name in NAMES:
        left_out = shutil.ignore_patterns("eval", "*.pt", "*.card.json", "__pycache__")
        shutil.copytree(BUNDLES / name, root / "bundles" / name, ignore=left_out)
    text = f"# Changelog\n\n## {__version__}\n\n- See [data](docs/data.md#store).\n"
    (root / "CHANGELOG.md").write_text(text, encoding="utf-8")
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "a")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "commit.gpgsign", "false")
    git(root, "config", "tag.gpgsign", "false")
    git(root, "remote", "add", "origin", "git@github.com:group/name.git")
    commit(root)
    return root


def commit(root: Path) -> None:
    """Commit everything."""
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--message", "x")
