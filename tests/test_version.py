"""The version stands in one place, custom_components; what else states it is made from there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

from custom_components import __version__
from mim3d.catalog import ROOT
from mim3d.package.folders import all_bundles


def test_the_installed_package_has_the_version_of_custom_components() -> None:
    assert read_configuration(ROOT / "pyproject.toml")["project"]["version"] == __version__


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_each_bundle_has_the_version_and_says_what_it_changed(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["version"] == __version__
    assert metadata["changelog"][__version__]


def test_the_newest_section_of_the_changelog_is_that_of_the_version() -> None:
    numbered = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert numbered[0] == __version__
    assert len(set(numbered)) == len(numbered)


def test_no_source_states_the_version_a_second_time() -> None:
    sources = ["pyproject.toml", "CITATION.cff", "bundles/_shared/metadata.yaml"]
    found = [name for name in sources if re.search(r"^version\b.*\d", (ROOT / name).read_text(), re.MULTILINE)]
    assert found == []
