"""What a store holds after it was filled, interrupted, damaged, or filled by two processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from custom_components.faults import Fault
from custom_components.store import Store, StoreDataset, StoreFolder
from custom_components.store.volumes import StoredVolume, whole
from tests.store.conftest import Item, MakeRecipe

Cases = Callable[[str], list[Item]]
Made = tuple[list[Item], Any, Store, StoreFolder]


@pytest.fixture
def made(make_recipe: MakeRecipe, cases: Cases, tmp_path: Path) -> Made:
    """Cases, their transforms, and a store that holds them."""
    items, recipe = cases("ct"), make_recipe("ct", crop="classes")
    store = recipe.store(tmp_path / "store", tmp_path / "data_ct")
    StoreDataset(items, recipe.transform, store)
    return items, recipe.transform, store, StoreFolder(tmp_path / "store")


def voxels(folder: StoreFolder) -> dict[tuple[str, str], np.ndarray]:
    """The voxels of every entry that a training would use."""
    found = {}
    for kind, key in folder.entries():
        content = StoreFolder(folder.folder).find(kind, key)
        if content is not None:
            volume = StoredVolume(folder.path(kind, key), content)
            found[kind, key] = volume.read(whole(volume.shape)).numpy()
    return found


def changed(folder: StoreFolder) -> dict[str, int]:
    return {
        str(path.relative_to(folder.folder)): path.stat().st_mtime_ns for path in folder.folder.rglob("voxels.*")
    }


def test_entries_are_written_once_and_named_in_the_index(made: Made) -> None:
    items, transform, store, folder = made
    before = changed(folder)
    StoreDataset(items, transform, store)
    assert changed(folder) == before
    index = json.loads((folder.folder / "index.json").read_text())
    assert sorted(index) == sorted(f"{kind}/{key}" for kind, key in folder.entries())
    assert len(index) == 4  # two images, two labels
    assert all(folder.fault(*name) is None for name in folder.entries())
    assert not [path for path in folder.folder.rglob("*") if path.name.startswith(".tmp_")]


def test_pretraining_and_segmentation_share_images(made: Made, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    items, _, _, folder = made
    recipe = make_recipe("ct", crop="random", roi=(8, 8, 8))
    before = changed(folder)
    StoreDataset(
        [{"image": item["image"], "volume_id": 99 - item["volume_id"]} for item in items],
        recipe.transform,
        recipe.store(tmp_path / "store", tmp_path / "data_ct"),
    )
    assert changed(folder) == before


def test_another_spacing_or_a_changed_file_makes_another_entry(
    made: Made, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    items, transform, store, folder = made
    store.view["spacing"] = [3.0, 3.0, 3.0]
    StoreDataset(items, transform, store)
    assert len(list(folder.entries())) == 8
    os.utime(items[0]["image"], ns=(1, 1))
    StoreDataset(items, transform, store)
    assert len(list(folder.entries())) == 10  # the image, and the label that is cropped to the image's box


def test_a_moved_data_folder_needs_no_new_entry(made: Made, tmp_path: Path) -> None:
    items, transform, store, folder = made
    (tmp_path / "data_ct").rename(tmp_path / "elsewhere")
    moved = [
        {**item, **{k: item[k].replace("data_ct", "elsewhere") for k in ("image", "label")}} for item in items
    ]
    before = changed(folder)
    store.dataset_dir = str(tmp_path / "elsewhere")
    StoreDataset(moved, transform, store)
    assert changed(folder) == before


@pytest.mark.parametrize("damage", ["truncated", "lost", "no json", "not json", "other bytes"])
def test_a_damaged_entry_is_found_and_prepared_again(damage: str, made: Made) -> None:
    items, transform, store, folder = made
    expected = voxels(folder)
    name = next(folder.entries())
    file, entry = folder.path(*name) / "voxels.npy", folder.path(*name) / "entry.json"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "lost":
        file.unlink()
    elif damage == "no json":
        entry.unlink()
        (folder.folder / "index.json").unlink()
    elif damage == "not json":
        entry.write_text("[")
        (folder.folder / "index.json").unlink()
    else:
        file.write_bytes(file.read_bytes()[:-10] + b"0123456789")
        store.verify = True  # as mim3d store build
    assert folder.fault(*name) is not None
    StoreDataset(items, transform, store)
    assert folder.fault(*name) is None
    found = voxels(folder)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)


def test_an_entry_that_is_lost_during_a_run_ends_it_with_its_name(made: Made) -> None:
    items, transform, store, _ = made
    dataset = StoreDataset(items, transform, store)
    file = dataset.cases[0].image.folder / "voxels.npy"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011 - MONAI wraps it
        dataset[0]
    cause: BaseException | None = raised.value
    while cause is not None and not isinstance(cause, Fault):
        cause = cause.__cause__
    assert str(file) in str(cause)
    assert "prepared again" in str(cause)


def test_class_centres_are_found_once(made: Made) -> None:
    items, transform, store, folder = made
    files = {path: path.stat().st_mtime_ns for path in folder.folder.rglob("centres_*.npy")}
    assert len(files) == 2
    dataset = StoreDataset(items, transform, store)
    assert len(dataset[0]) == 3
    assert {path: path.stat().st_mtime_ns for path in folder.folder.rglob("centres_*.npy")} == files


def _fill(items: list[Item], transform: Any, store: Store) -> None:
    StoreDataset(items, transform, store)


@pytest.mark.slow
def test_a_build_killed_at_20_moments_never_leaves_an_entry_that_reads_wrong(
    make_recipe: MakeRecipe, cases: Cases, tmp_path: Path
) -> None:
    few, recipe = cases("ct"), make_recipe("ct", crop="classes")
    items = []
    for number in range(12):  # copies under other names
        item = dict(few[number % 2])
        for key in ("image", "label"):
            copy = tmp_path / "data_ct" / f"{number}_{key}.nii.gz"
            copy.write_bytes(Path(item[key]).read_bytes())
            item[key] = str(copy)
        items.append(item)
    whole_store = recipe.store(tmp_path / "whole", tmp_path / "data_ct")
    start = time.monotonic()
    StoreDataset(items, recipe.transform, whole_store)
    duration = time.monotonic() - start
    expected = voxels(StoreFolder(tmp_path / "whole"))
    assert len(expected) == 24
    folder, context = StoreFolder(tmp_path / "killed"), multiprocessing.get_context("fork")
    store = recipe.store(tmp_path / "killed", tmp_path / "data_ct")
    draw, interrupted = random.Random(0), 0
    for _ in range(20):
        enough = len(list(folder.entries())) + draw.randint(0, 6)
        builders = [context.Process(target=_fill, args=(items, recipe.transform, store)) for _ in range(2)]
        for builder in builders:
            builder.start()
        while len(list(folder.entries())) < enough and any(builder.is_alive() for builder in builders):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, duration / len(items)))  # somewhere within the next volume
        interrupted += any(builder.is_alive() for builder in builders)
        for builder in builders:
            builder.kill()
            builder.join()
            assert builder.exitcode in (0, -signal.SIGKILL)
        found = voxels(folder)
        for name, values in found.items():
            assert folder.fault(*name) is None
            np.testing.assert_array_equal(values, expected[name])
        if len(found) == len(expected):  # the next moments shall hit a build, not a full store
            for name in found:
                folder.remove(*name)
    assert interrupted >= 10  # most moments hit a build
    StoreDataset(items, recipe.transform, store)
    assert voxels(folder).keys() == expected.keys()
    folder.remove_unfinished()
    assert not list(folder.folder.glob(".tmp_*"))


@pytest.mark.slow
def test_two_processes_may_fill_one_store(make_recipe: MakeRecipe, cases: Cases, tmp_path: Path) -> None:
    items, recipe = cases("mr"), make_recipe("mr", crop="classes")
    store = recipe.store(tmp_path / "store", tmp_path / "data_mr")
    context = multiprocessing.get_context("fork")
    builders = [context.Process(target=_fill, args=(items, recipe.transform, store)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    folder = StoreFolder(tmp_path / "store")
    assert len(voxels(folder)) == 4
    assert all(folder.fault(*name) is None for name in folder.entries())
    assert not list(folder.folder.glob(".tmp_*"))
