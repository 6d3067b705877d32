"""What is said about a store before a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from monai.transforms import Compose, CropForegroundd, LoadImaged, NormalizeIntensityd, ScaleIntensityRanged

from custom_components.checks import StoredVolumes
from custom_components.data import VolumeReader
from custom_components.store import Store, cached_dataset

INTENSITY = ScaleIntensityRanged("image", -175, 250, 0.0, 1.0, clip=True)
FOREGROUND = CropForegroundd("image", "image", allow_smaller=True)
TRANSFORM = Compose([LoadImaged("image", reader=VolumeReader(), ensure_channel_first=True), INTENSITY, FOREGROUND])


@pytest.fixture
def items(tmp_path: Path, write_nifti: Any) -> list[dict[str, str]]:
    return [{"image": str(write_nifti(tmp_path / "data" / f"case_{k}.nii.gz", seed=k))} for k in range(2)]


def make(folder: Path, **changes: Any) -> Store:
    keys = {"dataset_dir": str(folder / "data"), "spacing": [1.0, 1.0, 1.0], **changes}
    return Store(
        str(folder / "store"),
        channels=["CT"],
        orientation="RAS",
        intensity=INTENSITY,
        foreground=FOREGROUND,
        **keys,
    )


def check(cache: str, store: Store, items: Any) -> StoredVolumes:
    return StoredVolumes(cache, store, items[:1], TRANSFORM, items[1:], TRANSFORM)


def test_another_kind_of_cache_is_refused(tmp_path: Path, items: Any) -> None:
    with pytest.raises(ValueError, match="cache is 'disk'; allowed: ram, store, none"):
        check("disk", make(tmp_path), items)()


def test_nothing_is_said_without_a_store(tmp_path: Path, items: Any) -> None:
    assert check("ram", make(tmp_path), items)() is None
    assert check("none", make(tmp_path), items)() is None


def test_what_is_missing_and_what_is_there_is_said(tmp_path: Path, items: Any) -> None:
    store = make(tmp_path)
    found = check("store", store, items)()
    assert str(found).startswith(
        f"0 of 2 volumes are in {tmp_path / 'store'}; 2 are prepared first, at most 30.7 kB"
    )
    cached_dataset("store", store, items[:1], TRANSFORM)
    assert "1 of 2 volumes are in" in str(check("store", store, items)())
    cached_dataset("store", store, items, TRANSFORM)
    assert check("store", store, items)() == f"2 of 2 volumes are in {tmp_path / 'store'}"
    other = make(tmp_path, spacing=[2.0, 2.0, 2.0])
    assert "(its 2 entries are of another view or of other files)" in str(check("store", other, items)())


def test_a_store_without_a_data_folder_is_refused(tmp_path: Path, items: Any) -> None:
    with pytest.raises(ValueError, match="dataset_dir is empty; give dataset_dir, or set cache to ram"):
        check("store", make(tmp_path, dataset_dir=""), items)()


def test_a_folder_of_other_files_is_refused(tmp_path: Path, items: Any) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.docx").touch()
    with pytest.raises(ValueError, match="holds thesis.docx, which is not of a store; choose an empty folder"):
        check("store", make(tmp_path), items)()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, items: Any) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(ValueError, match="0 of 2 volumes are in .*cannot be made: .* is a file; choose another"):
        check("store", make(tmp_path), items)()


def test_a_folder_that_cannot_be_written_to_may_hold_everything(
    tmp_path: Path, items: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(tmp_path)
    cached_dataset("store", store, items, TRANSFORM)
    monkeypatch.setattr("custom_components.checks.folders.os", SimpleNamespace(access=lambda *_: False, path=None))
    assert check("store", store, items)() == f"2 of 2 volumes are in {tmp_path / 'store'}"


def test_a_chain_that_a_store_cannot_serve_is_refused(tmp_path: Path, items: Any) -> None:
    store = make(tmp_path)
    store.intensity = NormalizeIntensityd("image")
    with pytest.raises(ValueError, match="needs LoadImaged, then intensity, once"):
        check("store", store, items)()


def test_a_missing_package_is_named(tmp_path: Path, items: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_components.store.formats.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="blosc2, which is not installed; pip install blosc2"):
        check("store", make(tmp_path, store_format="blosc2"), items)()
