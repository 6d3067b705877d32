"""What the tests of packing share: the bundle that they pack, and what a folder holds."""

from __future__ import annotations

import stat

from mim3d.package.pack import package

BUNDLE = "seg_btcv"


def contents(folder):
    """Bytes, time and permissions of each file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime,
            stat.S_IMODE(path.stat().st_mode),
        )
        for path in files
    }


def pack(folder, out, **options):
    """Pack the bundle of a ``tree``: the folder and the zip."""
    components = folder / "custom_components"
    return package(folder / "bundles" / BUNDLE, out, components=components, **options)
