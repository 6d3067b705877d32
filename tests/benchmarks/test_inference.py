"""The benchmark of inference, on a CT of few voxels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.benchmarks.conftest import ROOT, Measured

SHAPE = (64, 48, 40)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """One round of every variant."""
    folder = tmp_path_factory.mktemp("inference")
    words = ["--rounds", "1", "--shape", *map(str, SHAPE), "--out", str(folder / "result.json")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "benchmarks" / "inference.py"), *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return Measured(result, folder, done.stdout)


@pytest.mark.slow
def test_every_variant_has_time_and_memory_of_every_part(measured: Measured, load_script: Any) -> None:
    script, result = load_script("inference"), measured.result
    assert list(result["variants"]) == ["usual", "float64", "shipped"]
    assert result["failed"] == {}
    for found in result["variants"].values():
        memory = [found["mib_after"][part] for part in ("start", *script.PARTS)]
        assert memory == sorted(memory)
        assert memory[0] > 100  # Python with torch
        parts = [found["cpu_seconds"][part] for part in script.PARTS]
        assert min(parts) > 0
        assert sum(parts) == pytest.approx(found["cpu_seconds"]["total"])
    assert str(measured.folder) not in json.dumps(result)


@pytest.mark.slow
def test_show_prints_the_table_of_the_file(measured: Measured, load_script: Any, capsys: Any) -> None:
    load_script("inference").main(["--show", str(measured.folder / "result.json")])
    printed = capsys.readouterr().out
    assert printed == measured.printed
    assert (measured.folder / "result.md").read_text(encoding="utf-8").strip() == printed.strip()


def test_every_variant_writes_a_mask_on_the_grid_of_the_file(load_script: Any, tmp_path: Path) -> None:
    case, image = load_script("inference_case"), tmp_path / "ct.nii.gz"
    load_script("feeding_data").write_phantom(image, 0, SHAPE)
    masks = {}
    for variant in case.VARIANTS:
        case.segment(variant, image, tmp_path / variant)
        masks[variant] = nib.load(tmp_path / variant / "ct_seg.nii.gz")
        assert masks[variant].shape == SHAPE
        assert np.allclose(masks[variant].affine, nib.load(image).affine)
        assert len(np.unique(np.asarray(masks[variant].dataobj))) > 3
    same = np.asarray(masks["shipped"].dataobj) == np.asarray(masks["float64"].dataobj)
    assert same.mean() > 0.8  # voxels halfway between two may take the other one


def test_only_the_resampling_differs_between_float64_and_shipped(load_script: Any, tmp_path: Path) -> None:
    case = load_script("inference_case")
    chains = {name: case.build(name, tmp_path / "a.nii.gz", tmp_path) for name in case.VARIANTS}
    for key in ("preprocessing", "postprocessing"):
        kinds = [[type(one) for one in chains[name][key].transforms] for name in ("float64", "shipped")]
        assert kinds[0] == kinds[1]
    types = {
        name: next(t for t in made["preprocessing"].transforms if type(t).__name__ == "Spacingd").dtype[0]
        for name, made in chains.items()
    }
    assert types == {"usual": torch.float64, "float64": torch.float64, "shipped": torch.float32}


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--shape", "8", "64", "64"]])
def test_wrong_arguments_end_in_one_line(load_script: Any, capsys: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        load_script("inference").main(words)
    assert "at least" in capsys.readouterr().err.splitlines()[-1]
