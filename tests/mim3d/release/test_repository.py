"""What a release asks of the git repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.faults import Fault
from mim3d.release.repository import check_clean, check_untagged, git, tag_words, web_address


def test_changed_and_new_files_are_refused_and_ignored_ones_are_not(repository: Path) -> None:
    out = repository / "OUT" / "release"
    (repository / ".git" / "info" / "exclude").write_text("*.log\n")
    (repository / "a.log").write_text("x")
    check_clean(repository, out)
    (repository / "CHANGELOG.md").write_text("changed")
    (repository / "new.txt").write_text("x")
    with pytest.raises(
        Fault, match=r"^not committed: CHANGELOG\.md and 1 more; a release holds committed files only"
    ):
        check_clean(repository, out)


def test_the_folder_of_the_release_may_lie_in_the_repository(repository: Path) -> None:
    out = repository / "OUT" / "release"
    for folder in (out, out.with_name(".tmp_release")):  # finished, and left by a killed process
        folder.mkdir(parents=True)
        (folder / "a.zip").write_text("x")
    check_clean(repository, out)
    (repository / "OUT" / "notes.txt").write_text("x")
    with pytest.raises(Fault, match=r"^not committed: OUT/notes\.txt; "):
        check_clean(repository, out)


def test_a_tag_that_exists_is_refused(repository: Path) -> None:
    check_untagged(repository, "v0.1.0")
    git(repository, *tag_words("v0.1.0", "0.1.0"))
    assert git(repository, "for-each-ref", "--format=%(objecttype) %(subject)", "refs/tags") == "tag Version 0.1.0"
    check_untagged(repository, "v0.1")
    head = git(repository, "rev-parse", "HEAD")
    with pytest.raises(Fault, match=rf"^v0\.1\.0 is tagged already \(commit {head[:7]}.*\); raise __version__"):
        check_untagged(repository, "v0.1.0")


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/group/name",
        "https://github.com/group/name.git",
        "https://user:secret@github.com/group/name.git",
        "git@github.com:group/name.git",
        "ssh://git@github.com/group/name/",
    ],
)
def test_every_form_of_the_remote_gives_one_address_on_the_web(repository: Path, address: str) -> None:
    git(repository, "remote", "set-url", "origin", address)
    assert web_address(repository, None) == "https://github.com/group/name"
    assert web_address(repository, "https://example.org:8000/a/b.c/") == "https://example.org:8000/a/b.c"


def test_a_repository_without_an_address_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"^no address to download from: found name; give --repository https://"):
        web_address(repository, "name")
    git(repository, "remote", "set-url", "origin", str(tmp_path))
    with pytest.raises(Fault, match=rf"the remote origin is {tmp_path}; give"):
        web_address(repository, None)
    git(repository, "remote", "remove", "origin")
    with pytest.raises(Fault, match="the remote origin is not set; give"):
        web_address(repository, None)


def test_a_folder_without_git_and_a_machine_without_git_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(Fault, match=r"^git status failed in .*: fatal: not a git repository"):
        check_clean(tmp_path, tmp_path / "out")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Fault, match="^git is not installed"):
        check_clean(tmp_path, tmp_path / "out")
