"""What a config names: where its store is, and the dataset for each kind of cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data.dataset import CacheDataset, Dataset
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import ScaleIntensityRanged

from custom_components.data.channels import names_ct
from custom_components.data.names import Item
from custom_components.distributed import rank
from custom_components.store.chain import Chain, take_apart
from custom_components.store.crops import STORED, StoredCase, crops_of
from custom_components.store.entries import StoreFolder
from custom_components.store.fill import Filler
from custom_components.store.formats import check_format

CACHES = ("ram", "store", "none")


class Store:
    """Where prepared volumes are kept on disk, and what distinguishes them from those of another view.

    Args:
        store_dir: the folder; all bundles may share one.
        dataset_dir: the data folder; entries are named by paths relative to it.
        channels: names of the image's channels; those of CT are stored in HU if ``intensity`` scales a range.
        orientation: three letters, such as RAS.
        spacing: mm along the three axes.
        intensity: the config's transform that scales intensities; volumes are stored before it.
        foreground: the config's transform that crops to the foreground.
        non_finite: what NaN and infinity in images do: ``raise`` or ``replace``.
        store_format: ``npy``, or ``blosc2`` (compressed) where the disk or the network is slow.
        verify: read every stored volume when a dataset is made, and prepare damaged ones again.
    """

    def __init__(
        self,
        store_dir: str,
        dataset_dir: str,
        channels: Sequence[str],
        orientation: str,
        spacing: Sequence[float],
        intensity: Any,
        foreground: Any,
        non_finite: str = "raise",
        store_format: str = "npy",
        verify: bool = False,
    ) -> None:
        self.store_dir, self.dataset_dir = str(store_dir), str(dataset_dir)
        self.intensity, self.foreground = intensity, foreground
        self.store_format, self.verify = store_format, verify
        scales_range = isinstance(intensity, ScaleIntensityRanged)
        self.hounsfield = [scales_range and names_ct([name]) for name in channels]
        self.spacing = [float(length) for length in spacing]
        self.view = {"orientation": str(orientation), "spacing": self.spacing, "non_finite": non_finite}

    def filler(self, transform: Compose) -> tuple[Filler, Chain]:
        """Return what prepares the volumes of a dataset's chain of transforms, and the chain taken apart.

        Raises:
            ValueError: for a chain that cannot be read from a store, and an unknown format.
        """
        check_format(self.store_format)
        chain = take_apart(transform, self.intensity, self.foreground)
        folder = StoreFolder(self.store_dir)
        filler = Filler(folder, chain, self.view, self.hounsfield, self.dataset_dir, self.store_format)
        return filler, chain


class StoreDataset(Dataset):
    """Samples whose volumes are in a store; those that are missing are prepared when it is made.

    It gives what MONAI's ``Dataset`` gives for the same transforms and random state, up to the rounding of
    `custom_components.store.rounding.to_int16`.

    Args:
        data: the cases.
        transform: the config's chain, from file to sample.
        store: where the volumes are.
        num_workers: cases that are prepared at a time; 0 counts as 1.

    Raises:
        ValueError: for a chain that cannot be read from a store.
        Fault: for a file that cannot be read, or a store that cannot be written to.
    """

    def __init__(self, data: Sequence[Item], transform: Compose, store: Store, num_workers: int = 0) -> None:
        filler, chain = store.filler(transform)
        # Only one attribute may hold a random state, as in MONAI's Dataset: seeds are given out in their order.
        super().__init__(data, Compose([*chain.first, crops_of(chain), *chain.rest]))
        self.cases: list[StoredCase] = filler.fill(data, num_workers, rank() == 0, store.verify) if data else []

    def _transform(self, index: int) -> Any:
        return self.transform({**self.data[index], STORED: self.cases[index]})


def cached_dataset(
    cache: str,
    store: Store,
    data: Sequence[Item],
    transform: Callable[[Any], Any],
    cache_rate: float = 1.0,
    num_workers: int = 0,
) -> Dataset:
    """Return the dataset for a kind of cache.

    Args:
        cache: ``ram`` holds prepared volumes in memory, ``store`` on disk, ``none`` prepares them each time.
        store: where they are on disk.
        data: the cases.
        transform: from file to sample.
        cache_rate: for ``ram``, the share of the cases that is held.
        num_workers: cases that are prepared at a time.

    Raises:
        ValueError: for another cache, and as `StoreDataset`.
    """
    check_cache(cache)
    if cache == "store":
        return StoreDataset(data, transform, store, num_workers)  # type: ignore[arg-type]  # configs give a Compose
    if cache == "none":
        return Dataset(data, transform)
    # Not copied, because no transform changes a cached case.
    return CacheDataset(data, transform, cache_rate=cache_rate, num_workers=num_workers, copy_cache=False)


def check_cache(cache: object) -> None:
    """Raise ValueError unless ``cache`` is a kind of cache."""
    if cache not in CACHES:
        raise ValueError(f"cache is {cache!r}; allowed: {', '.join(CACHES)}")
