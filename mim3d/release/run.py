"""The steps of a release, in their order: checks, files, tag."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from custom_components import __version__
from mim3d.release import repository
from mim3d.release.checks import check_metadata, check_rendered
from mim3d.release.notes import release_notes


def release(root: Path, bundles: Sequence[Path], out: Path, address: str | None, dry_run: bool) -> None:
    """Check a repository, write the files of its version, and tag the commit.

    The tag is the last step. So a release that was interrupted is finished by the same command.

    Args:
        root: the repository.
        bundles: folders of its bundles.
        out: folder for the files.
        address: of the repository on the web; None: that of the remote ``origin``.
        dry_run: make no tag.

    Raises:
        Fault: for the first check that fails. Nothing is written then.
    """
    root, out, tag = root.resolve(), out.resolve(), f"v{__version__}"
    repository.check_clean(root, out)
    repository.check_untagged(root, tag)
    web = repository.web_address(root, address)
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    notes = release_notes(changelog, __version__, f"{web}/blob/{tag}")
    check_metadata(bundles, __version__)
    check_rendered()
    from mim3d.release.build import put_release, write_release  # imports MONAI, for which a refusal need not wait

    downloads = f"{web}/releases/download/{tag}"
    new = put_release(
        out, partial(write_release, bundles=bundles, version=__version__, downloads=downloads, notes=notes)
    )
    print(f"{out}: {'wrote' if new else 'holds already'} {len(bundles)} bundles of version {__version__}")
    words = repository.tag_words(tag, __version__)
    if dry_run:
        print(f"no tag was made; the command is: git {shlex.join(words)}")
        return
    repository.git(root, *words)
    print(f"tagged {tag}; publish it with: git push --follow-tags")
