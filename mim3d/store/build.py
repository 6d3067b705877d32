"""Building a store with a bundle's own config, before a training needs it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_components.checks import Preflight
from custom_components.faults import fault_in
from custom_components.machine import readable
from custom_components.store import StoreFolder
from mim3d.segment.config import build_workflow, check_keys, config_files, parse_value

#: Keys that the arguments of the command set.
FIXED = {
    "bundle_root": "BUNDLE",
    "dataset_dir": "DATA",
    "store_dir": "--out",
    "store_format": "--format",
    "num_workers": "--workers",
    "cache": "the action",
}
_CHECKS = ("channels", "cases", "label_maps", "store")


def build_store(
    bundle: Path,
    dataset_dir: str,
    layers: Sequence[str] = (),
    out: str | None = None,
    workers: int = 4,
    store_format: str = "npy",
    keys: Mapping[str, str] | None = None,
) -> str:
    """Prepare every training and validation volume of a config that the store lacks; rebuild damaged entries.

    Args:
        bundle: folder of the bundle.
        dataset_dir: the data folder.
        layers: layers of the training.
        out: folder of the store; None: the config's default, which lies in the data folder.
        workers: volumes prepared at a time.
        store_format: ``npy`` or ``blosc2``.
        keys: further keys of the config, as written.

    Returns:
        A line for the user.

    Raises:
        ValueError: for a wrong key, or a file that cannot be read; finished volumes stay.
    """
    files = config_files(bundle, layers, "train.yaml")
    check_keys(files, keys or {}, FIXED, "mim3d store build")
    overrides: dict[str, Any] = {key: parse_value(written) for key, written in (keys or {}).items()}
    overrides |= {"bundle_root": str(bundle), "dataset_dir": dataset_dir, "cache": "store", "num_workers": workers}
    overrides |= {"store_format": store_format, "store#verify": True}
    overrides |= {} if out is None else {"store_dir": out}
    start = time.monotonic()
    try:
        parser = build_workflow(files, "train", **overrides).parser
        Preflight({name: parser.get_parsed_content(f"checks#{name}") for name in _CHECKS})()
        cases = [
            case for part in ("train", "validate") for case in parser.get_parsed_content(f"{part}#dataset").cases
        ]
        folder = StoreFolder(parser.get_parsed_content("store_dir"))
    except Exception as error:  # MONAI wraps what a transform raises
        if message := fault_in(error):
            raise ValueError(message) from error
        raise
    entries = [entry for case in cases for entry in (case.image, case.label) if entry is not None]
    size = sum(entry.content["bytes"] for entry in entries)
    minutes = (time.monotonic() - start) / 60
    return f"store: {folder.folder}: {len(cases)} volumes, {readable(size)}, {minutes:.1f} minutes"
