"""Checking the entries of a store, and removing those that nobody can need."""

from __future__ import annotations

import os
from pathlib import Path

from custom_components.checks.store import check_is_store
from custom_components.machine import readable
from custom_components.store import StoreFolder
from custom_components.store.keys import VERSION
from custom_components.threads import map_in_threads
from custom_components.transfer.read import file_version

_LISTED = 20


def open_store(folder: str) -> StoreFolder:
    """Return an existing store.

    Raises:
        ValueError: if the folder does not exist, or is no store.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder; give the folder of a store")
    check_is_store(Path(folder))
    store = StoreFolder(folder)
    if next(store.entries(), None) is None:
        raise ValueError(f"{folder} holds no entry of a store; give the folder that mim3d store build printed")
    return store


def check_store(folder: str, threads: int = 4) -> str:
    """Read every entry of a store and compare it with its checksum.

    Returns:
        A line for the user.

    Raises:
        ValueError: naming the damaged entries.
    """
    store = open_store(folder)
    keys = list(store.entries())
    faults = map_in_threads(lambda name: store.fault(*name), keys, "checking the store", "entry", threads)
    damaged = [f"{kind}/{key} ({fault})" for (kind, key), fault in zip(keys, faults, strict=True) if fault]
    if damaged:
        more = f", and {len(damaged) - _LISTED} more" if len(damaged) > _LISTED else ""
        raise ValueError(
            f"{len(damaged)} of {len(keys)} entries of {folder} are damaged: {', '.join(damaged[:_LISTED])}{more};"
            " mim3d store build prepares them again"
        )
    size = sum((store.content(*key) or {}).get("bytes", 0) for key in keys)
    return f"{folder}: {len(keys)} entries, {readable(size)}, none damaged"


def prune_store(folder: str, dataset_dir: str | None = None, dry_run: bool = False) -> str:
    """Remove entries whose files have changed or gone, that an older version prepared, or that are damaged.

    Args:
        folder: of the store.
        dataset_dir: the data folder; None: the one that each entry was made from.
        dry_run: only say what would be removed.

    Returns:
        A line for the user.

    Raises:
        ValueError: if a data folder does not exist: then every entry would seem to be old.
    """
    store = open_store(folder)
    keys = list(store.entries())
    reasons = {key: _reason(store, key, dataset_dir) for key in keys}
    gone = {name for (kind, name), reason in reasons.items() if reason and kind == "images"}
    for kind, name in keys:  # a label is cropped to its image's box
        content = store.content(kind, name)
        if kind == "labels" and content and not reasons[kind, name] and content["view"]["image"] in gone:
            reasons[kind, name] = "its image's entry goes"
    old = [key for key in keys if reasons[key]]
    for kind, name in old:
        print(f"{'would remove' if dry_run else 'removing'} {kind}/{name}: {reasons[kind, name]}")
        if not dry_run:
            store.remove(kind, name)
    unfinished = 0 if dry_run else store.remove_unfinished()
    if not dry_run:
        store.write_index()
    verb = "would be removed" if dry_run else "removed"
    return f"{folder}: {len(old)} of {len(keys)} entries and {unfinished} unfinished ones {verb}"


def _reason(store: StoreFolder, key: tuple[str, str], dataset_dir: str | None) -> str | None:
    content = store.content(*key)
    if content is None or store.find(*key) is None:
        return "damaged"
    if content.get("version") != VERSION:
        return f"prepared by version {content.get('version')}, now {VERSION}"
    folder = dataset_dir or content["dataset_dir"]
    if not os.path.isdir(folder):
        raise ValueError(f"the data folder {folder} does not exist, so no entry can be judged; give --dataset_dir")
    for name, size, changed in content["sources"]:
        _, found_size, found_changed = file_version(os.path.join(folder, name))
        if (size, changed) != (found_size, found_changed):
            return f"{name} has {'changed' if found_changed else 'gone'}"
    return None
