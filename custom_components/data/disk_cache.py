"""Names of prepared volumes that `disk_cache.yaml` keeps on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.data.utils import pickle_hashing

from custom_components.transfer.read import file_version


def item_hash(item: Mapping[str, Any]) -> bytes:
    """Return a hash of an item and of the size and time of change of its files, for MONAI's ``PersistentDataset``.

    MONAI's own hash takes the paths only, so it would serve the old volume of a file that was corrected.
    """
    files = [part for value in item.values() for part in (value if isinstance(value, list) else [value])]
    return bytes(pickle_hashing([dict(item), [file_version(file) for file in files if isinstance(file, str)]]))
