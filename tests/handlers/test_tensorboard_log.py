"""TensorBoard events are complete when a run ends, and a full disk is one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ignite.engine import Engine

from custom_components.faults import Fault
from custom_components.handlers import TensorBoardLog
from tests.bundles.commands import scalars


def engine_with(log: TensorBoardLog, length: int = 3) -> Engine:
    engine = Engine(lambda engine, batch: batch)
    log.attach(engine)
    engine.run(range(length), max_epochs=2)
    return engine


def test_each_step_is_logged(tmp_path: Path) -> None:
    engine_with(TensorBoardLog(str(tmp_path), tag_name="loss", output_transform=float))
    assert scalars(tmp_path)["loss"] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("method", ["add_scalar", "flush"])
def test_a_full_disk_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    log = TensorBoardLog(str(tmp_path), output_transform=float)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(log._writer, method, full)
    with pytest.raises(
        Fault, match=rf"{tmp_path}: the TensorBoard events cannot be written: No space left on device \(.* free in"
    ):
        engine_with(log)
