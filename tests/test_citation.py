"""CITATION.cff has what the format requires, and says what the rest of the repository says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mim3d.catalog import METHODS, ROOT
from mim3d.package.folders import all_bundles

CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
#: Keys of a person and of an entity (a group or company), see the guide of the Citation File Format 1.2.0.
PERSON, ENTITY = {"family-names", "given-names"}, {"name"}


@pytest.mark.parametrize("item", [CITATION, *CITATION["references"]], ids=lambda item: item["title"][:20])
def test_it_has_the_required_keys(item: dict[str, Any]) -> None:
    assert item["title"]
    assert item["authors"]
    assert all(set(author) in (PERSON, ENTITY) for author in item["authors"])
    if item is CITATION:
        assert (item["cff-version"], item["type"]) == ("1.2.0", "software")
        assert item["message"]
    else:
        assert item["type"] in {"article", "software"}
        assert re.match(r"https://|10\.\d{4,}/", item.get("url", item.get("doi", "")))


def test_licence_and_authors_are_those_of_the_package_and_the_bundles() -> None:
    assert f'license = "{CITATION["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (author,) = CITATION["authors"]
    for bundle in all_bundles():
        assert f'"authors": "{author["name"]}"' in (bundle / "configs" / "metadata.json").read_text(
            encoding="utf-8"
        )


def test_the_papers_are_those_that_the_readme_asks_to_cite() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    numbers = [item["url"].rpartition("/")[2] for item in CITATION["references"] if item["type"] == "article"]
    assert numbers == ["2303.10333", "2204.11716"]
    assert all(number in readme for number in numbers)
    notes = " ".join(item.get("notes", "") for item in CITATION["references"])
    assert [method.bundle.name for method in METHODS.values() if method.bundle.name not in notes] == []
