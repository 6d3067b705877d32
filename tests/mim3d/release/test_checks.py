"""Checks of the files of a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components import __version__
from custom_components.faults import Fault
from mim3d.catalog import BUNDLES
from mim3d.release import checks
from mim3d.release.checks import check_metadata, check_rendered
from tests.mim3d.release.conftest import NAMES


def test_metadata_of_another_version_or_without_a_changelog_entry_is_refused(repository: Path) -> None:
    bundles = [repository / "bundles" / name for name in NAMES]
    check_metadata(bundles, __version__)
    file = bundles[1] / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**metadata, "changelog": {"0.0.9": "x"}}))
    with pytest.raises(Fault, match=rf"of {NAMES[1]} has no entry for {__version__}; add one in method\.yaml"):
        check_metadata(bundles, __version__)
    file.write_text(json.dumps({**metadata, "version": "0.0.9"}))
    with pytest.raises(Fault, match=rf"than {__version__}: {NAMES[1]} 0\.0\.9; run mim3d render"):
        check_metadata(bundles, __version__)


def test_files_that_differ_from_their_sources_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BUNDLES / "seg_btcv" / "configs" / "train.yaml"
    monkeypatch.setattr(checks, "render_all", lambda: {config: "other"})
    with pytest.raises(Fault, match=r"^bundles/seg_btcv/configs/train\.yaml and \d+ more: not as rendered"):
        check_rendered()
