"""The disk cache reads a file again when it changed, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from monai.data import PersistentDataset
from monai.transforms import LoadImaged

from custom_components.data import VolumeReader, item_hash


def test_a_corrected_file_is_not_served_from_the_cache(
    write: Callable[..., str], values: np.ndarray, tmp_path: Path
) -> None:
    items = [{"image": write("a.nii", values), "volume_id": 3}, {"image": [write("b.nii", values)]}]

    def first_values() -> list[float]:
        kept = PersistentDataset(
            items, LoadImaged("image", VolumeReader()), cache_dir=tmp_path / "cache", hash_func=item_hash
        )
        return [float(kept[k]["image"].max()) for k in range(2)]

    assert first_values() == [959, 959]
    assert first_values() == [959, 959]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    write("b.nii", values + 1)
    assert first_values() == [959, 960]
    assert len(list((tmp_path / "cache").iterdir())) == 3
