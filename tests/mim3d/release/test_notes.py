"""Release notes from the changelog."""

from __future__ import annotations

import pytest

from custom_components.faults import Fault
from mim3d.release.notes import release_notes

CHANGELOG = """# Changelog

## Unreleased

## 0.2.0 (2026-12-01)

### Data

- A [store](docs/data.md#store), see [below](#data) and [MONAI](https://monai.io). #1

## 0.1.0

- First version.
"""
FILES = "https://github.com/a/b/blob/v0.2.0"


def test_notes_are_the_section_of_the_version_with_links_that_work_elsewhere() -> None:
    assert release_notes(CHANGELOG, "0.2.0", FILES) == (
        "# Version 0.2.0\n\n### Data\n\n- A [store](https://github.com/a/b/blob/v0.2.0/docs/data.md#store), see "
        "[below](#data) and [MONAI](https://monai.io). #1\n"
    )


@pytest.mark.parametrize(
    ("changelog", "version", "message"),
    [
        (CHANGELOG, "0.1.0", r"begins with 0\.2\.0, __version__ in .* is 0\.1\.0"),
        (CHANGELOG, "0.3.0", r"begins with 0\.2\.0, __version__ in .* is 0\.3\.0"),
        ("# Changelog\n\n## 0.2.0\n\n## 0.1.0\n\n- First.\n", "0.2.0", "with what changed for users"),
        ("# Changelog\n", "0.2.0", "begins with None"),
        (CHANGELOG.replace("Unreleased\n", "Unreleased\n\n- New.\n"), "0.2.0", "lists changes under 'Unreleased'"),
    ],
)
def test_a_changelog_that_is_not_of_this_version_is_refused(changelog: str, version: str, message: str) -> None:
    with pytest.raises(Fault, match=message):
        release_notes(changelog, version, FILES)
