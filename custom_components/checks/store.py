"""Check: can volumes be kept in the store, and which of them are there?"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from monai.transforms.compose import Compose

from custom_components.checks.folders import check_folder
from custom_components.checks.volumes import image_header
from custom_components.data.names import Item, files_of
from custom_components.machine import free_space, readable
from custom_components.store import Store, StoreFolder, check_cache

_BYTES = {"image": 2, "label": 1}  # per voxel


class StoredVolumes:
    """The kind of cache must be known; with ``store``, its folder must be usable.

    Args:
        cache: the config's key.
        store: where volumes are kept.
        items: the cases.
        transform: from a case to a sample.
        validation_items: the validation cases; None: none.
        validation_transform: the same for them.
    """

    def __init__(
        self,
        cache: str,
        store: Store,
        items: Sequence[Item],
        transform: Compose,
        validation_items: Sequence[Item] | None = None,
        validation_transform: Compose | None = None,
    ) -> None:
        self.cache, self.store = cache, store
        self.parts = [(items, transform), (validation_items or [], validation_transform or transform)]

    def __call__(self) -> str | None:
        """Return how many volumes are there and how many will be prepared.

        Raises:
            ValueError: for an unknown cache, a chain of transforms that a store cannot serve, and a folder that is
                missing a volume and cannot be written to; says what to do.
        """
        check_cache(self.cache)
        if self.cache != "store":
            return None
        if not self.store.dataset_dir:
            raise ValueError("cache is store, but dataset_dir is empty; give dataset_dir, or set cache to ram")
        folder = Path(self.store.store_dir)
        check_is_store(folder)
        fillers = [(items, self.store.filler(transform)[0]) for items, transform in self.parts]
        missing = [item for items, filler in fillers for item in items if filler.find(filler.wanted(item)) is None]
        total = sum(len(items) for items, _ in fillers)
        report = f"{total - len(missing)} of {total} volumes are in {folder}"
        if not missing:
            return report
        others = sum(1 for _ in StoreFolder(folder).entries())
        self._check_writable(folder, report)
        size = readable(sum(map(self._size, missing)))
        if others and len(missing) == total:
            report += f" (its {others} entries are of another view or of other files)"
        return f"{report}; {len(missing)} are prepared first, at most {size}, {free_space(folder)}"

    def _check_writable(self, folder: Path, report: str) -> None:
        try:
            check_folder("store_dir", str(folder))
        except ValueError as error:
            raise ValueError(f"{report}, and {error}; or build it elsewhere with `mim3d store build`") from None

    def _size(self, item: Item) -> float:
        """Return the bytes of a case without cropping to the foreground."""
        spacing, total = self.store.spacing, 0.0
        for key, size in _BYTES.items():
            for path in files_of(item, key):
                header = image_header(path)
                voxels = math.prod(header.spatial_shape) * math.prod(header.spacing) / math.prod(spacing)
                total += voxels * header.channels * size
        return total


def check_is_store(folder: Path) -> None:
    """Raise ValueError if a folder holds other files than those of a store; it need not exist."""
    if not folder.is_dir():
        return
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    foreign = sorted(set(names) - {"images", "labels", "index.json"})
    if foreign:
        raise ValueError(f"store_dir {folder} holds {foreign[0]}, which is not of a store; choose an empty folder")
