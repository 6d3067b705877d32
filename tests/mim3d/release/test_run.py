"""Whole releases of a small repository: what is written, what is tagged, and what is left when one fails."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from monai.bundle import scripts

from custom_components import __version__
from custom_components.faults import Fault
from custom_components.published import read_registry
from mim3d import cli
from mim3d.catalog import BUNDLES
from mim3d.package.folders import all_bundles
from mim3d.package.pack import ours
from mim3d.release.build import digests, write_release
from mim3d.release.repository import git
from mim3d.release.run import release
from tests.mim3d.release.conftest import NAMES, commit

TAG = f"v{__version__}"
Release = Callable[..., None]


@pytest.fixture
def make(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """``make(out, dry_run=True)``: a release of the repository; it has no sources of rendered files to compare."""
    monkeypatch.setattr("mim3d.release.run.check_rendered", lambda: None)

    def made(out: Path, dry_run: bool = True) -> None:
        release(repository, [repository / "bundles" / name for name in NAMES], out, None, dry_run)

    return made


def test_a_release_has_zips_sums_the_zoos_list_notes_and_folders_for_the_hub(
    make: Release, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make(out)
    archives = [f"{name}_v{__version__}.zip" for name in NAMES]
    expected = [*archives, "checksums.txt", "hub", "model_info.json", "release_notes.md"]
    assert sorted(path.name for path in out.iterdir()) == sorted(expected)
    data = {name: (out / name).read_bytes() for name in archives}
    sums = "".join(f"{hashlib.sha256(data[name]).hexdigest()}  {name}\n" for name in archives)
    assert (out / "checksums.txt").read_text(encoding="utf-8") == sums
    info = json.loads((out / "model_info.json").read_text(encoding="utf-8"))
    for name, archive in zip(NAMES, archives, strict=True):
        # where monai.bundle download --source github --repo group/name/TAG looks for it
        source = scripts._get_git_release_url("group", "name", TAG, archive)
        sha1 = hashlib.sha1(data[archive]).hexdigest()
        assert info[archive.removesuffix(".zip")] == {"checksum": sha1, "source": source}
        with zipfile.ZipFile(out / archive) as read:
            assert {entry.split("/")[0] for entry in read.namelist()} == {name}
        assert (
            (out / "hub" / name / "README.md").read_text(encoding="utf-8").startswith("---\nlicense: apache-2.0\n")
        )
    link = f"https://github.com/group/name/blob/{TAG}/docs/data.md#store"
    assert (out / "release_notes.md").read_text(
        encoding="utf-8"
    ) == f"# Version {__version__}\n\n- See [data]({link}).\n"


def test_a_repeated_release_is_equal_and_the_tag_is_its_last_step(
    make: Release, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "first")
    said = capsys.readouterr().out
    assert f"wrote 2 bundles of version {__version__}" in said
    assert f"git tag --annotate {TAG} --message 'Version {__version__}'" in said
    assert git(repository, "tag") == ""
    make(tmp_path / "second", dry_run=False)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    assert git(repository, "rev-list", "--max-count=1", TAG) == git(repository, "rev-parse", "HEAD")
    with pytest.raises(Fault, match=f"^{TAG} is tagged already"):
        make(tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "repository", "second"]


def test_a_release_that_ended_before_its_tag_goes_on(
    make: Release, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = repository / "OUT"
    (repository / ".tmp_OUT").mkdir()
    (repository / ".tmp_OUT" / "half.zip").write_text("left by a killed process")
    make(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    make(out, dry_run=False)
    assert "holds already 2 bundles" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert git(repository, "tag") == TAG
    assert not (repository / ".tmp_OUT").exists()


def test_a_refused_release_writes_nothing(
    make: Release, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ() -> None:
        raise Fault("not as rendered")

    monkeypatch.setattr("mim3d.release.run.check_rendered", differ)
    with pytest.raises(Fault, match="not as rendered"):
        make(tmp_path / "out", dry_run=False)
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## 0.0.9\n\n- Old.\n")
    with pytest.raises(Fault, match=r"^not committed: CHANGELOG\.md"):
        make(tmp_path / "out", dry_run=False)
    commit(repository)
    with pytest.raises(Fault, match=r"begins with 0\.0\.9"):
        make(tmp_path / "out", dry_run=False)
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert git(repository, "tag") == ""


def test_the_command_releases_every_bundle_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []
    monkeypatch.setattr("mim3d.release.run.release", lambda *given: seen.extend(given))
    cli.main(["release", "--out", str(tmp_path / "out"), "--repository", "https://example.org/a/b", "--dry-run"])
    assert seen == [BUNDLES.parent, all_bundles(), tmp_path / "out", "https://example.org/a/b", True]


@pytest.mark.slow
def test_all_bundles_are_released_as_they_are_packed(tmp_path: Path) -> None:
    write_release(tmp_path, all_bundles(), __version__, "https://example.org", "notes")
    weights, _ = read_registry()
    plain = [f"{bundle.name}_v{__version__}" for bundle in all_bundles()]
    with_weights = [f"{name.replace('/', '.')}_v{__version__}" for name in weights]
    archives = sorted(tmp_path.glob("*.zip"))
    assert [path.stem for path in archives] == sorted(plain + with_weights)
    assert all(ours(path) for path in archives)
    assert sorted(json.loads((tmp_path / "model_info.json").read_text(encoding="utf-8"))) == plain
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [bundle.name for bundle in all_bundles()]
