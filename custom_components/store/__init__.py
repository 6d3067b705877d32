"""Prepared volumes on disk, shared by all bundles of one view, and the crops that training reads from them."""

from custom_components.store.dataset import Store, StoreDataset, cached_dataset, check_cache
from custom_components.store.entries import StoreFolder

__all__ = ["Store", "StoreDataset", "StoreFolder", "cached_dataset", "check_cache"]
