"""``mim3d store``: build, check and prune, as a user types them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mim3d.arguments import UsageError
from mim3d.catalog import BUNDLES
from mim3d.cli import find_command, parser_of
from mim3d.store.build import build_store
from mim3d.store.upkeep import check_store, prune_store

BUNDLE = BUNDLES / "pretrain_hybridmim"
KEYS = {"spacing": "[2.0,2.0,2.0]"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, write_nifti: Callable[..., Path]) -> Path:
    """A data folder of four volumes, with its store."""
    data = tmp_path_factory.mktemp("data")
    for number in range(4):
        write_nifti(data / f"case_{number}.nii.gz", (40, 36, 30), seed=number)
    line = build_store(BUNDLE, str(data), ["smoke.yaml"], workers=2, keys=KEYS)
    assert line.startswith(f"store: {data / 'mim3d_store'}: 4 volumes, ")
    return data


def entries(store: Path) -> set[str]:
    return {path.name for path in (store / "images").iterdir()}


def test_building_again_rebuilds_what_is_damaged_only(built: Path) -> None:
    store = built / "mim3d_store"
    names = entries(store)
    files = sorted(store.rglob("voxels.npy"))
    times = [path.stat().st_mtime_ns for path in files]
    files[0].write_bytes(files[0].read_bytes()[:-4] + b"oops")
    with pytest.raises(ValueError, match=r"1 of 4 entries of .* are damaged: images/\w+ \(voxels.npy has another"):
        check_store(str(store))
    build_store(BUNDLE, str(built), ["smoke.yaml"], workers=2, keys=KEYS)
    assert check_store(str(store)).endswith("none damaged")
    assert entries(store) == names
    assert [path.stat().st_mtime_ns for path in files][1:] == times[1:]


def test_pruning_removes_entries_whose_files_changed(built: Path) -> None:
    store, changed = built / "mim3d_store", built / "case_1.nii.gz"
    before = changed.stat()
    os.utime(changed, ns=(1, 1))
    line = prune_store(str(store), dry_run=True)
    assert line.endswith("1 of 4 entries and 0 unfinished ones would be removed")
    assert len(entries(store)) == 4
    (store / ".tmp_elsewhere_1_abcdef01").mkdir()
    os.utime(store / ".tmp_elsewhere_1_abcdef01", (1, 1))
    assert prune_store(str(store)).endswith("1 of 4 entries and 1 unfinished ones removed")
    assert len(entries(store)) == 3
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    build_store(BUNDLE, str(built), ["smoke.yaml"], workers=2, keys=KEYS)
    assert len(entries(store)) == 4


def test_pruning_without_the_data_removes_nothing(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist, so no entry can be judged; give --dataset_dir"):
        prune_store(str(built / "mim3d_store"), str(tmp_path / "gone"))
    assert len(entries(built / "mim3d_store")) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "the following arguments are required: PATH"),
        (["check", "a", "b"], "mim3d store check takes STORE; found a b"),
        (["build", "a"], "mim3d store build takes BUNDLE DATA; found a"),
        (["prune", "a", "--spacing", "1"], "mim3d store prune takes no key of a config; found --spacing"),
        (["mend", "a"], "invalid choice: 'mend'"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_command("store").run(parser_of("store").parse(words))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cache": "ram"}, "--cache is set by the action of mim3d store build"),
        ({"spacings": "1"}, "did you mean --spacing"),
    ],
)
def test_a_wrong_key_is_one_line(keys: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        build_store(BUNDLE, str(tmp_path), keys=keys)


def test_a_file_that_cannot_be_read_is_named_and_finished_volumes_stay(
    write_nifti: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(3):
        write_nifti(tmp_path / f"case_{number}.nii.gz", (40, 36, 30), seed=number)
    damaged = tmp_path / "case_1.nii.gz"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="case_1.nii.gz is truncated or corrupt"):
        build_store(BUNDLE, str(tmp_path), workers=1, keys={**KEYS, "include_label_like": "True", "holdout": "1"})


@pytest.mark.parametrize(("make", "message"), [(False, "is not a folder"), (True, "holds no entry of a store")])
def test_another_folder_is_refused(make: bool, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    if make:
        folder.mkdir()
    for command in (check_store, prune_store):
        with pytest.raises(ValueError, match=message):
            command(str(folder))
