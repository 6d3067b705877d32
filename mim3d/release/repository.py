"""What a release asks of the git repository, and the tag that it makes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from custom_components.atomic import partial_path
from custom_components.faults import Fault


def git(root: Path, *words: str) -> str:
    """Return what a git command prints, without the line break at its end.

    Raises:
        Fault: if git is missing or the command fails, with git's last line.
    """
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise Fault("git is not installed; a release is made from a git repository") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Fault(f"git {words[0]} failed in {root}: {said[-1]}")
    return done.stdout.rstrip("\n")


def check_clean(root: Path, out: Path) -> None:
    """Compare the files of the repository with the last commit.

    Args:
        root: absolute path of the repository.
        out: absolute path of the release's folder, which may lie in the repository.

    Raises:
        Fault: for a file that is changed, or that git neither tracks nor ignores.
    """
    paths = ["."]
    if out.is_relative_to(root):
        paths += [f":(exclude){path.relative_to(root).as_posix()}" for path in (out, partial_path(out))]
    found = git(root, "status", "--porcelain", "--untracked-files=all", "--", *paths).splitlines()
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Fault(
            f"not committed: {found[0][3:]}{more}; a release holds committed files only: commit or remove them"
        )


def check_untagged(root: Path, tag: str) -> None:
    """Check that a version is new.

    Raises:
        Fault: if the tag exists.
    """
    if git(root, "tag", "--list", tag):
        at = git(root, "rev-list", "--max-count=1", "--abbrev-commit", tag)
        raise Fault(f"{tag} is tagged already (commit {at}); raise __version__ in custom_components/__init__.py")


def web_address(root: Path, given: str | None) -> str:
    """Return the repository's address on the web, such as ``https://github.com/OWNER/NAME``.

    Args:
        root: the repository.
        given: the address, if the user gave one; None: that of the remote ``origin``.

    Raises:
        Fault: if it is not the address of a repository on a server.
    """
    remotes = git(root, "remote").splitlines()
    address = given or (git(root, "remote", "get-url", "origin") if "origin" in remotes else "")
    form = r"(?:https?://(?:[^@/]+@)?|ssh://git@|git@)([\w.-]+(?::\d+)?)[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?"
    match = re.fullmatch(form, address)
    if not match:
        found = f"found {given}" if given else f"the remote origin is {address or 'not set'}"
        raise Fault(f"no address to download from: {found}; give --repository https://github.com/OWNER/NAME")
    return f"https://{match[1]}/{match[2]}"


def tag_words(tag: str, version: str) -> list[str]:
    """Return the words of the git command that makes the tag, without ``git``."""
    return ["tag", "--annotate", tag, "--message", f"Version {version}"]
