"""Release notes: the section of a version in CHANGELOG.md."""

from __future__ import annotations

import re

from custom_components.faults import Fault

#: Heading of changes that belong to no version yet.
OPEN = "Unreleased"


def sections(changelog: str) -> dict[str, str]:
    """Split a changelog at its headings of the second level.

    Returns:
        First word of the heading -> text below it, without blank lines at its ends.
    """
    parts = re.split(r"^## (\S+).*\n", changelog, flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def release_notes(changelog: str, version: str, files: str) -> str:
    """Return the section of a version as Markdown for a page outside the repository.

    Args:
        changelog: content of CHANGELOG.md.
        version: as in the heading.
        files: address of the repository's files at this version; relative links begin with it.

    Raises:
        Fault: if it is not the first section or empty, or if changes are listed under no version.
    """
    found = sections(changelog)
    if found.get(OPEN):
        raise Fault(f"CHANGELOG.md lists changes under {OPEN!r}; move them into the section '## {version}'")
    newest = next((name for name in found if name != OPEN), None)
    if newest != version or not found[version]:
        raise Fault(
            f"CHANGELOG.md begins with {newest}, __version__ in custom_components/__init__.py is {version}; "
            "allowed: a first section of that version, with what changed for users"
        )
    # What has no scheme, as https:, is a link to a file of the repository.
    linked = re.sub(r"\]\((?!#|[a-z]+:)([^)]+)\)", rf"]({files}/\1)", found[version])
    return f"# Version {version}\n\n{linked}\n"
