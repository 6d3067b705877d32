"""Checks of the files that a release holds: metadata and rendered files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from custom_components.atomic import read_json
from custom_components.faults import Fault
from mim3d.render import differences
from mim3d.templates import render_all


def check_metadata(bundles: Sequence[Path], version: str) -> None:
    """Check that each bundle has the version, and an entry for it in its own changelog.

    Raises:
        Fault: for the bundles that do not.
    """
    found = {bundle.name: read_json(bundle / "configs" / "metadata.json") for bundle in bundles}
    if old := {
        name: content.get("version") for name, content in found.items() if content.get("version") != version
    }:
        listed = ", ".join(f"{name} {number}" for name, number in old.items())
        raise Fault(f"metadata.json states another version than {version}: {listed}; run mim3d render")
    if lacking := [name for name, content in found.items() if version not in content.get("changelog", {})]:
        raise Fault(
            f"the changelog in the metadata of {', '.join(lacking)} has no entry for {version}; add one in "
            "method.yaml of the bundle, or in bundles/_shared/metadata.yaml, and run mim3d render"
        )


def check_rendered() -> None:
    """Compare rendered files with their sources.

    Raises:
        Fault: if one differs, is missing, or has no source any more.
    """
    if found := differences(render_all()):
        name = found[0].split()[1]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Fault(f"{name}{more}: not as rendered from the sources; run mim3d render and commit")
