"""Arrays on disk, of which a part is read."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from custom_components.faults import Fault
from custom_components.store.formats import FORMATS, checksum, open_array, read_part, write_array
from custom_components.store.volumes import StoredVolume

PART = (slice(None), slice(3, 40), slice(60, 70), slice(0, 5))


@pytest.mark.parametrize("store_format", list(FORMATS))
def test_a_part_of_what_was_written_is_read(store_format: str, tmp_path: Path) -> None:
    if store_format != "npy":
        pytest.importorskip(store_format)
    array = np.random.RandomState(0).randint(-1000, 1000, (2, 70, 90, 9)).astype(np.int16)
    path = tmp_path / FORMATS[store_format]
    write_array(path, array)
    np.testing.assert_array_equal(read_part(path, PART), array[PART])
    assert checksum(path) == checksum(path)
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        open_array(path)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_exactly_the_rows_of_a_part_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(2 * 7 * 9 * 5, dtype=np.int16).reshape(2, 7, 9, 5)
    path, announced = tmp_path / "voxels.npy", []
    write_array(path, array)
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, advice: announced.append((start, length)))
    part = (slice(None), slice(2, 4), slice(3, 7), slice(1, 3))
    np.testing.assert_array_equal(read_part(path, part), array[part])
    content = path.read_bytes()
    rows = [array[channel, plane, 3:7].tobytes() for channel in (0, 1) for plane in (2, 3)]
    assert [content[start : start + length] for start, length in announced] == rows
    assert read_part(path, (slice(None), slice(2, 4), slice(3, 3), slice(1, 3))).size == 0
    assert len(announced) == len(rows)  # a length of 0 would announce the rest of the file


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_a_file_system_that_takes_no_advice_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(2 * 7 * 9 * 5, dtype=np.int16).reshape(2, 7, 9, 5)
    write_array(tmp_path / "voxels.npy", array)

    def refuse(*_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    part = (slice(0, 1), slice(2, 4), slice(3, 7), slice(1, 3))
    np.testing.assert_array_equal(read_part(tmp_path / "voxels.npy", part), array[part])


def test_a_missing_package_is_one_line_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blosc2", None)
    volume = StoredVolume(tmp_path, {"file": "voxels.b2nd"})
    with pytest.raises(Fault, match=r"^\S+voxels.b2nd needs blosc2, which is not installed; pip install blosc2$"):
        volume.read((slice(0, 1),) * 3)


def test_a_memory_map_reads_nothing_before_it_is_indexed(tmp_path: Path) -> None:
    write_array(tmp_path / "voxels.npy", np.zeros((1, 8, 8, 8), np.int16))
    assert isinstance(open_array(tmp_path / "voxels.npy"), np.memmap)
