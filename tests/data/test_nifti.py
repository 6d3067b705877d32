"""One opening per file, and the inflation that is installed."""

from __future__ import annotations

import builtins
import gzip
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from custom_components.data import nifti, read_label, read_volume
from custom_components.faults import Fault

Write = Callable[..., str]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("read", [read_volume, read_label, nifti.read_header, nifti.read_voxels])
def test_a_file_is_opened_once(
    write: Write, values: np.ndarray, name: str, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, real = write(name, values), [], builtins.open
    monkeypatch.setattr(builtins, "open", lambda file, *a, **k: (opened.append(file), real(file, *a, **k))[1])
    read(path)
    assert opened == [path]


def test_values_come_channel_by_channel_in_c_order(write: Write) -> None:
    stored = np.random.RandomState(0).randint(-9, 9, (6, 5, 4, 3)).astype(np.int16)
    found = read_volume(write("a.nii.gz", stored))[0]
    assert np.array_equal(found, np.moveaxis(stored, -1, 0))
    assert found.flags.c_contiguous  # else LoadImaged copies it, slowly


@pytest.mark.parametrize("module", nifti._INFLATERS)
def test_a_faster_inflation_is_used_where_it_is_installed(
    write: Write, values: np.ndarray, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    for name in nifti._INFLATERS:
        monkeypatch.setitem(sys.modules, name, None)  # not installed
    nifti._fastest_inflate.cache_clear()
    assert nifti._fastest_inflate() is gzip.decompress
    fast = SimpleNamespace(decompress=lambda data: (calls.append(len(data)), gzip.decompress(data))[1])
    monkeypatch.setitem(sys.modules, module.split(".")[0], SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, module, fast)
    nifti._fastest_inflate.cache_clear()
    path = write("a.nii.gz", values)
    assert np.array_equal(read_volume(path)[0][0], values)
    assert len(calls) == 1
    with open(path, "r+b") as file:
        file.seek(-6, 2)
        file.write(b"\0")  # in the checksum
    with pytest.raises(Fault, match="truncated or corrupt"):
        read_volume(path)
    nifti._fastest_inflate.cache_clear()
