"""Sanity validation: too little memory, and other failures, end in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose

from custom_components.checks import sanity_validate, sanity_validation
from tests.checks.sanity import DECIDE, SPACING, Recorder, evaluator_of, network, preprocessing
from tests.ranks import run_ranks

COARSER = "choose a coarser spacing (now [2.0, 2.0, 2.0] mm)"


def ended(evaluator: SupervisedEvaluator, postprocessing: Any = DECIDE) -> str:
    """The one line that the sanity validation ends with."""
    with pytest.raises(SystemExit) as end:
        sanity_validate(evaluator, postprocessing, SPACING)
    line = str(end.value)
    assert line.startswith("error: validation runs out of memory on its largest case, ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore lines"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_too_little_memory_ends_in_a_line_with_case_size_and_keys(
    items: list[dict[str, Any]], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    inferer = Recorder(error)
    net = network()
    line = ended(evaluator_of(Dataset(items, preprocessing()), inferer, net))
    shape = inferer.seen[0][0][2:]
    stitched = np.prod(shape) * (3 + 1) * 4
    assert items[2]["image"] in line
    assert f"({' x '.join(map(str, shape))} voxels, 3 output channels, about {stitched / 1000:.3g} kB" in line
    assert line.endswith(
        "stitched on cpu): lower sw_batch_size (now 2) or choose a coarser spacing (now [2.0, 2.0, 2.0] mm)"
    )
    assert net.training
    assert not net._forward_hooks
    assert not caplog.records


class SmallGpu:
    """An inferer that stitches on a GPU too small for the first window."""

    device, sw_batch_size = "cuda:0", 1

    def __call__(self, *_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_stitching_on_the_cpu_is_advised_where_it_is_not_done(items: list[dict[str, Any]]) -> None:
    line = ended(evaluator_of(Dataset(items, preprocessing()), SmallGpu()))
    assert line.endswith(f"(32 x 38 x 40 voxels): set sw_output_device to cpu (now cuda:0) or {COARSER}")


def test_memory_that_ends_while_loading_or_in_postprocessing_is_found_under_monais_own_error(
    items: list[dict[str, Any]],
) -> None:
    def fail(_: Any) -> Any:
        raise MemoryError

    line = ended(evaluator_of(Dataset(items, preprocessing(fail))))
    assert "(about 37,440 voxels)" in line
    line = ended(evaluator_of(Dataset(items, preprocessing())), Compose([fail]))
    assert "3 output channels" in line


def test_a_prediction_larger_than_the_free_memory_is_not_begun(
    items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanity_validation, "free_memory", lambda: 500_000)
    calls: list[int] = []
    net = network()
    net.register_forward_hook(lambda *_: calls.append(1))
    line = ended(evaluator_of(Dataset(items, preprocessing()), net=net))
    assert len(calls) == 1
    assert "stitched on cpu, 500 kB free): choose a coarser spacing" in line
    monkeypatch.setattr(sanity_validation, "free_memory", lambda: 2_000_000)
    sanity_validate(evaluator_of(Dataset(items, preprocessing()), net=net), DECIDE, SPACING)
    assert len(calls) == 3  # and two of two windows


def test_another_failure_keeps_its_traceback_and_names_the_case(items: list[dict[str, Any]]) -> None:
    evaluator = evaluator_of(Dataset(items, preprocessing()), Recorder(ValueError("mat1 and mat2")))
    with pytest.raises(RuntimeError, match=r"validation fails on .*coarse\.nii\.gz") as failure:
        sanity_validate(evaluator, DECIDE, SPACING)
    assert isinstance(failure.value.__cause__, ValueError)


def _one_rank(rank: int, folder: Path, items: list[dict[str, Any]]) -> None:
    error = MemoryError() if rank == 1 else None
    own = items[rank : rank + 1]
    end: Any = None
    try:
        sanity_validate(evaluator_of(Dataset(own, preprocessing()), Recorder(error)), DECIDE, SPACING)
    except SystemExit as ended_by:
        end = ended_by.code
    (folder / f"rank{rank}").write_text(str(end))


@pytest.mark.slow
def test_where_one_rank_has_too_little_memory_both_end_and_rank_0_says_why(
    items: list[dict[str, Any]], tmp_path: Path
) -> None:
    run_ranks(_one_rank, tmp_path, items)
    assert f"largest case, {items[1]['image']} (" in (tmp_path / "rank0").read_text()
    assert (tmp_path / "rank1").read_text() == "1"
